"""What the first rows fix, part by part.

One way through, from rows to what is frozen, see `Adaptation.fit`:

- `encoding`: columns of a table as numbers; `columns`: their centre and scale.
- `rows`: a canonical sample of the rows, to which all that follows is fitted, and its folds.
- `targets`: centre and scale of the targets, and how they are bent (`warp`).
- `categories`, `trees`, `ridge`: what is told by the rows of other folds; `inputs`: all that rows pass through.
- `fitting`: the conjugate memory, step by step.
- `evidence`: length-scales, signal-to-noise ratio, and how large trend and main effects are.
- `trend`, `main_effects`, `inducing`, `waves`: the parts of the conjugate memory's features.
- `sparse_process`: where inducing points are best, and how the noise varies (`noise`).
- `missed`: how large the function is that the features miss.
- `basis`: what all of these make of rows, on a device.
- `first_rows`: the first rows of a stream, until there are enough.

Every part is a `Part`: frozen arrays, features of rows, and the variance that these miss.
"""

from skcmanp.adaptation.adaptation import Adaptation
from skcmanp.adaptation.base import Part
from skcmanp.adaptation.basis import Basis

__all__ = ["Adaptation", "Basis", "Part"]
