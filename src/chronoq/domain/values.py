"""Values that are made for every job."""

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    from attrs import define

    # attrs.frozen would refuse a change at run time, too, and makes a value four times as slowly
    value = partial(define, unsafe_hash=True)

__all__ = ["value"]
