"""A learner as an estimator of scikit-learn: at once, class by class, from a pickle, and with a search for its rank."""

import pickle

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

import negreplay as nr
from negreplay.recipe import RDARecipe

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, random_state=0)

at_once = nr.NegreplayClassifier("rda").fit(X, y)
print(f"at once {at_once.score(X_test, y_test):.3f}")

parts = nr.NegreplayClassifier("rda")
for digit in [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]:  # the order changes nothing but rounding
    parts.partial_fit(X[y == digit], y[y == digit])
print(f"class by class {parts.score(X_test, y_test):.3f}")
print(f"after a pickle {pickle.loads(pickle.dumps(parts)).score(X_test, y_test):.3f}")

search = GridSearchCV(nr.NegreplayClassifier(), {"learner": [RDARecipe(rank=rank) for rank in (2, 8, 32)]}, cv=3)
print(f"best rank {search.fit(X, y).best_params_['learner'].rank}")
