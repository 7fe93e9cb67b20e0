"""Forecasts of a stream that moves on, weighted by how well each predicted what came.

`Experts` are of three kinds, and all have a fixed size: networks that read (`reading`), trees of recent rows (`trees`),
and linear regressions that forget (`linear`), on features and on what the others say. `scale` corrects their standard
deviations, `weights` mixes them, `conformal` keeps the level of intervals, and `mixture` has all of it.
"""
