"""Refusals that the formats share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words

_ONE_AT_A_TIME = RLock()


@contextmanager
def muted() -> Iterator[None]:
    """Keeps libraries from warning: in words of theirs, which may quote headers.

    The filters of warnings are the process's: two threads that mute and restore them by turns would
    let some through, hence the lock.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turns whatever a damaged file makes the libraries raise into a refusal without its text."""
    with muted():
        try:
            yield
        except InputError as error:
            if Path(name).name in str(error):
                raise
            # What refuses a matrix, say, does not know of which file it is.
            raise InputError(f"{name}: {error}", kind=error.kind) from None
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # parsers and decoders raise nearly every kind there is
            raise InputError(
                f"{name}: {in_words(error)}",
                kind="unreadable_image",
            ) from None


def constant(name: str) -> InputError:
    """The refusal of a picture whose values are all equal."""
    return InputError(
        f"{name}: every pixel has the same value: nothing to see", kind="constant_image"
    )
