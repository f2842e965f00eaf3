"""What every room of the house shares: the Record, cards, policy, image reading, errors."""
