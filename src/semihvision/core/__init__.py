"""What every room of the house shares: the Record, cards, policy, image reading, errors."""

from semihvision.core.record import Record

__all__ = ["Record"]
