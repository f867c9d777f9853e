"""How data is checked against a model of pydantic."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from sshjobs.errors import UsageError
from sshjobs.model.several import Several

Model = TypeVar("Model", bound=BaseModel)
_NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def valid(model: type[Model], data: Any) -> Model:
    """Return what a model makes of data.

    :raises pydantic.ValidationError: it is not what the model wants
    """
    if model.__pydantic_complete__ or _NO_PLUGINS in os.environ:
        return model.model_validate(data)
    # The first time, when it is built, pydantic would look through every installed distribution for plug-ins, which
    # takes longer than all else that it does here. What we start later is not to find the variable.
    os.environ[_NO_PLUGINS] = "1"
    try:
        return model.model_validate(data)
    finally:
        os.environ.pop(_NO_PLUGINS, None)


def mistake(text: str | UsageError, inside: int = 0) -> PydanticCustomError:
    """Return an error for a validator to raise. The text is shown as it is, after the key's name.

    :param inside: the last so many steps of its place lie within the value of that key
    """
    return PydanticCustomError("mistake", "{text}", {"text": text if isinstance(text, str) else f": {text}",
                                                     "inside": inside})


def taken_by(read: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function reads from a value; what it raises is a mistake of the jobfile's."""
    try:
        return read(value)
    except Several as several:
        raise ValidationError.from_exception_data("value", [
            {"type": mistake(text.removeprefix(" "), len(place)), "loc": place, "input": None}
            for place, text in several.found]) from None
    except ValueError as error:
        raise mistake(str(error).removeprefix(" ")) from None
