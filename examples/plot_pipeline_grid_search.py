"""
In a pipeline, in a search
==========================

``CMANPRegressor`` is a scikit-learn estimator like any other. Here it ends a pipeline
that codes a category and compresses the rest, a grid search chooses how much to compress, and
it has to stand beside two others that also say how sure they are. The scores are those of
the whole prediction, not of its mean alone.
"""

# %%
# A table
# -------
# The diabetes table as a data frame: 442 patients, nine numbers and the sex.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcmanp import CMANPRegressor
from skcmanp.metrics import coverage_scorer, neg_crps_scorer, neg_nll_scorer

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X["sex"] = X["sex"].map({1.0: "one", 2.0: "other"})
numbers = [name for name in X.columns if name != "sex"]


# %%
# A pipeline, and a search
# ------------------------
# Six blood values are correlated, two of them almost the same. Are fewer components enough? The search decides
# by the negative log-likelihood of patients left out, and refits with what was best. With
# two scorers at once, one has to be named for that.
def pipeline(regressor):
    prepare = make_column_transformer(
        (make_pipeline(StandardScaler(), PCA(n_components=9)), numbers),
        (OneHotEncoder(drop="if_binary"), ["sex"]),
    )
    return Pipeline([("prepare", prepare), ("regress", regressor)])


folds = KFold(5, shuffle=True, random_state=0)
search = GridSearchCV(
    pipeline(CMANPRegressor()),
    {"prepare__pipeline__pca__n_components": [2, 5, 9]},
    scoring={"NLL": neg_nll_scorer, "CRPS": neg_crps_scorer},
    refit="NLL",
    cv=folds,
)
search.fit(X, y)
found = pd.DataFrame(search.cv_results_).set_index("param_prepare__pipeline__pca__n_components")
print(-found[["mean_test_NLL", "mean_test_CRPS"]].round(3))

# %%
# The search itself predicts with a standard deviation, and its best pipeline can go on to read.
best = search.best_estimator_
print(best.predict(X[:3], return_std=True))

# %%
# Three that say how sure they are
# --------------------------------
# All in the same pipeline, with all components, on other folds. ``BayesianRidge`` is linear. The
# Gaussian process fits one length-scale and the noise; with a length-scale per feature it is no better here,
# and takes six times as long.
kernel = ConstantKernel() * Matern(nu=2.5) + WhiteKernel()
models = {
    "CMANPRegressor": CMANPRegressor(),
    "BayesianRidge": BayesianRidge(),
    "GaussianProcess": GaussianProcessRegressor(kernel, normalize_y=True),
}
results = {}
for name, model in models.items():
    results[name] = cross_validate(
        pipeline(model),
        X,
        y,
        scoring={"NLL": neg_nll_scorer, "CRPS": neg_crps_scorer, "coverage": coverage_scorer},
        cv=KFold(5, shuffle=True, random_state=1),
    )
    nll, crps, coverage = (results[name][f"test_{metric}"].mean() for metric in ("NLL", "CRPS", "coverage"))
    seconds = results[name]["fit_time"].mean()
    print(f"{name:15} NLL {-nll:.3f}  CRPS {-crps:.1f}  90 % intervals hold {coverage:.0%}  {seconds:.2f} s per fit")

# %%
# The picture
# -----------
# A line is a fold: 88 or 89 patients whom none of the three has seen. Scores differ more from fold to fold
# than from model to model, so look at the lines, not at the bars' ends.
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for ax, metric, unit in zip(axes, ("NLL", "CRPS"), ("nats", "progression"), strict=True):
    scores = -np.array([result[f"test_{metric}"] for result in results.values()])
    ax.plot(scores, "o-", color="0.7", ms=4, lw=1)
    ax.plot(scores.mean(axis=1), "o-", color="C0", ms=8, lw=2.5, label="mean of five folds")
    ax.set_xticks(range(len(results)), labels=results)
    ax.set(title=f"{metric}, {unit}; lower is better", xlim=(-0.3, len(results) - 0.7))
    ax.grid(axis="y", alpha=0.3)
axes[0].legend()
plt.show()
