"""How a fitted estimator looks in a notebook: scikit-learn's diagram, and a card of what it has read."""

from __future__ import annotations

from html import escape
from typing import Any

from skcmanp.checkpoints import Checkpoint
from skcmanp.state.context import ContextState

_SHOWN_NAMES = 8


class NotebookMixin:
    """Adds the card to the HTML of estimators with a `context_`."""

    context_: ContextState
    checkpoint_: Checkpoint

    def _repr_html_inner(self) -> str:
        return super()._repr_html_inner() + self._card()  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] += self._card()
        return bundle

    def _card(self) -> str:
        """A table in HTML; nothing before anything is read."""
        if not hasattr(self, "context_"):
            return ""
        state, lines = self.context_, []
        lines.append(("network", f"{self.checkpoint_.name}, SHA-256 {self.checkpoint_.fingerprint[:12]}…"))
        weight = "" if state.weight == state.n_rows else f", worth {state.weight:,.6g} now"
        lines.append(("rows read", f"{state.n_rows:,}{weight}"))
        names = list(state.feature_names or ())
        shown = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
        lines.append(("features", f"{state.n_features}" + (f": {shown}" if names else "")))
        lines.append(("targets", str(state.n_outputs)))
        if state.adaptation.parts:
            parts = (part.name.replace("_", " ") for part in state.adaptation.parts)
            noise = [] if state.adaptation.noise is None else ["heteroscedastic noise"]
            lines.append(("fixed by the first rows", ", ".join([*parts, *noise])))
        if state.first_rows is not None:
            lines.append(("still open", "the first thousand rows of a stream are not there yet"))
        lines.append(("state", f"{state.nbytes:,} bytes"))
        rows = "".join(f"<tr><th align='left'>{name}</th><td>{escape(text)}</td></tr>" for name, text in lines)
        return f"<details open><summary>What it has read</summary><table>{rows}</table></details>"
