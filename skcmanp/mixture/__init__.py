"""Forecasts of a stream that moves on, weighted by how well each predicted what came.

`Experts` are of three kinds, and all have a fixed size: networks that read (`reading`), trees of recent rows (`trees`),
and linear regressions that forget (`linear`), on features and on what the others say. For the latter two `columns`
makes numbers of a table. `weights` mixes experts by their `errors`, `scale` corrects standard deviations, `conformal`
keeps the level of intervals, and `mixture` has all of it.
"""
