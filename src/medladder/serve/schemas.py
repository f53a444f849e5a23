"""The shapes of requests and answers, for the OpenAPI description; answers themselves are what `to_json` gives."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from .uploads import FIELD


class ErrorParts(BaseModel):
    """What was found, what is needed, what to do."""

    kind: str
    found: str
    needed: str = ""
    do: str = ""


class Problem(BaseModel):
    """Every answer that is no success."""

    error: ErrorParts


class Predicted(BaseModel):
    """One image; probabilities by class, summing to 1."""

    file: str
    probabilities: dict[str, float]
    decision: str
    unlike_training: bool | None = Field(description="null where nothing knows what the training images look like.")


class Unreadable(BaseModel):
    """A file that could not be read, and why."""

    file: str
    reason: str


class Asked(BaseModel):
    """Which model answered."""

    name: str
    identity: str | None


class Predicting(BaseModel):
    """As `medladder predict --json` prints it, and which model it was."""

    model: Asked
    predictions: list[Predicted]
    unreadable: list[Unreadable]


class PredictingProblem(Problem):
    """The request as a whole is wrong, or none of its files can be read: then each is named with the reason."""

    model: Asked | None = None
    predictions: list[Predicted] = []
    unreadable: list[Unreadable] = []


class Map(BaseModel):
    """Where one method sees the evidence, over the image, as PNG; and whether it may be believed."""

    method: str
    is_trustworthy: bool
    reason: str
    picture: str = Field(description="A data URI: red speaks for the class, blue against it.")


class Explaining(BaseModel):
    """One image explained."""

    model: Asked
    file: str
    rung: str
    probabilities: dict[str, float]
    decision: str
    unlike_training: bool | None
    towards: str
    picture: str
    maps: list[Map]
    nearest: list[dict[str, Any]] | None


class Served(BaseModel):
    """A model or study that is served."""

    name: str
    kind: str
    rung: str
    classes: list[str]
    image: dict[str, Any]
    decision: dict[str, Any]
    is_calibrated: bool
    knows_unlike: bool
    identity: str | None = None


class Listed(BaseModel):
    """All that is served; `problem` where one cannot be opened."""

    default: str | None
    models: list[dict[str, Any]]


class Health(BaseModel):
    """The process is alive."""

    status: str
    version: str


class Readiness(BaseModel):
    """Whether everything that was named has been opened."""

    ready: bool
    opened: list[str]
    opening: list[str]


def body_of_files(*, one: bool = False) -> dict[str, Any]:
    """The multipart body that brings files, read by `uploads` and not by the framework."""
    schema: dict[str, Any] = {
        "type": "object",
        "required": [FIELD],
        "properties": {
            FIELD: {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "format": "binary"},
                "description": "PNG, JPEG, TIFF, DICOM, NIfTI and the others that medladder reads.",
            }
        },
    }
    if one:
        schema["properties"][FIELD]["maxItems"] = 1
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def problems(*statuses: int, model: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """Which answers of a route are none of success."""
    said = {
        400: "The body cannot be taken apart.",
        401: "No token.",
        403: "Asked from another site, or under a name of another host.",
        404: "Nothing of this name.",
        408: "The upload did not arrive in time.",
        413: "Too many bytes or files.",
        422: "The caller can mend it; the message says how.",
        429: "BusyError; Retry-After says when to come again.",
        503: "Models are still being opened, or the answer took too long.",
    }
    return {status: {"description": said[status], "model": model if status == 422 else Problem} for status in statuses}
