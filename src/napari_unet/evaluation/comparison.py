"""A prediction beside its truth, to be scored and looked at section by section."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from napari_unet.evaluation.pairing import overall_name, overall_shape

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.config import EvaluationConfig
    from napari_unet.data.stack import Stack

R = TypeVar("R")


class Comparison(ABC, Generic[R]):
    """Predictions and truths of one kind, read section by section.

    Parameters
    ----------
    predictions, truths : sequence of Stack
        As many of the one as of the other.
    config : EvaluationConfig

    Attributes
    ----------
    kind : str
        ``"classes"``, ``"objects"`` or ``"values"``.
    error_type : str
        Data type of `errors`.

    Raises
    ------
    MaskError
        When the two do not fit together.
    """

    kind: ClassVar[str]
    error_type: ClassVar[str] = "uint8"

    def __init__(
        self,
        predictions: Sequence[Stack],
        truths: Sequence[Stack],
        config: EvaluationConfig,
    ) -> None:
        self.predictions, self.truths = list(predictions), list(truths)
        self.config = config

    @property
    def n_sections(self) -> int:
        """Sections of all stacks together."""
        return sum(each.n_sections for each in self.truths)

    def facts(self) -> dict[str, Any]:
        """Return what a report says of what was compared."""
        return {
            "prediction": overall_name(self.predictions),
            "truth": overall_name(self.truths),
            "shape": overall_shape(self.truths),
        }

    def places(self) -> list[tuple[int, int]]:
        """Return for each section in which stack it is, and its number there."""
        return [
            (number, index)
            for number, stack in enumerate(self.truths)
            for index in range(stack.n_sections)
        ]

    def name_classes(self, names: Mapping[int, str]) -> None:
        """Call mask values by the names that a model knows them by."""

    @abstractmethod
    def score(self) -> Generator[int, None, R]:
        """Score section by section: yields how many are done, returns the report.

        Raises
        ------
        MaskError
            When there is nothing to score, or a section is not as it should be.
        """

    @abstractmethod
    def errors(self, index: int) -> NDArray[Any]:
        """Return the (Y, X) errors of a section, as they can be told after `score`.

        One of `napari_unet.evaluation.error_map.KINDS` or 0; for values the signed
        difference, NaN where nothing is scored.
        """

    @abstractmethod
    def seen(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return truth and prediction of a section, (Y, X), to be looked at.

        Of classes their indices, of which `IGNORE` is not annotated.
        """

    def every_error(self) -> Iterator[NDArray[Any]]:
        """Return the errors of all sections, one after the other."""
        return (self.errors(index) for index in range(self.n_sections))


def finish(scoring: Generator[int, None, R]) -> R:
    """Run `Comparison.score` to its end, and return the report."""
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            report: R = end.value
            return report
