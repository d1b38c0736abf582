"""Models of the dataset's events: walk-forward, out of sample by construction, deterministic.

`events` puts rows and targets in one form, `folds` says which of them train, validate and test,
`training` fits what `algorithms` and `calibration` know, `scoring` applies a stored model to rows
or to one event, `importance` and `judgement` say what a model looks at and how good it was. Nothing
here reads a file. LightGBM, XGBoost, scikit-learn and Optuna are imported when they are used.
"""
