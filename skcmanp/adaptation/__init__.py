"""What the first rows fix, part by part.

One way through, from rows to what is frozen, see `Adaptation.fit`:

- `columns`: centre and scale of features and targets.
- `rows`: a canonical sample of the rows, to which all that follows is fitted.
- `evidence`: length-scales, signal-to-noise ratio, and how large trend and main effects are.
- `trend`, `main_effects`, `inducing`, `waves`: the parts of the conjugate memory's features.
- `sparse_process`: where inducing points are best, and how the noise varies (`noise`).
- `missed`: how large the function is that the features miss.
- `first_rows`: the first rows of a stream, until there are enough.

Every part is a `Part`: frozen arrays, features of rows, and the variance that these miss.
"""

from skcmanp.adaptation.adaptation import Adaptation, Basis
from skcmanp.adaptation.base import Part

__all__ = ["Adaptation", "Basis", "Part"]
