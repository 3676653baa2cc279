import pytest
from arms import build_any, learn, stream_of
from states import same, state_of
from systems import HERDED, arm, plain
from whole import cross_entropy, distilled, patterns, second_step, whole

from negreplay.learners.learner import Learner
from negreplay.recipe import LwFRecipe, Outputs, Recipe, Weighting
from negreplay.streams.stream import Stream


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4], [1, 3])


def taught(recipe: Recipe, stream: Stream, experiences: int = 2) -> Learner:
    learner = whole(recipe)
    learn(learner, *stream[:experiences])
    return learner


def test_with_nothing_to_remember_the_loss_is_plain_cross_entropy(stream):
    learner = whole(arm(LwFRecipe(strength=9.0)))
    (x, y), then = patterns(learner, stream[0]), second_step(learner, stream[0])
    assert then.loss == pytest.approx(cross_entropy(then.student.decide(x), y, [0, 2]), rel=1e-5)


@pytest.mark.parametrize(("strength", "temperature"), [(1.0, 2.0), (3.0, 2.0), (1.0, 5.0)])
def test_what_the_old_classifier_says_is_added(strength, temperature, stream):
    learner = taught(arm(LwFRecipe(strength, temperature)), stream)
    (x, y), (teacher, student, loss) = patterns(learner, stream[2]), second_step(learner, stream[2])
    classified = cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4])
    kept = distilled(student.decide(x), teacher.decide(x), [0, 2, 4], temperature)
    assert loss == pytest.approx(classified + strength * kept, rel=1e-5)
    # The student is not its own teacher: otherwise this would be the entropy, whoever teaches.
    assert kept > 1.01 * distilled(teacher.decide(x), teacher.decide(x), [0, 2, 4], temperature)


def test_by_experiences_the_new_labels_weigh_one_of_as_many(stream):
    learner = taught(arm(LwFRecipe(3.0, weighting=Weighting.EXPERIENCES)), stream)
    (x, y), (teacher, student, loss) = patterns(learner, stream[2]), second_step(learner, stream[2])
    classified = cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4])
    kept = distilled(student.decide(x), teacher.decide(x), [0, 2, 4])
    assert loss == pytest.approx(classified / 3 + 2 / 3 * 3.0 * kept, rel=1e-5)


@pytest.mark.parametrize(("weighting", "each"), [(Weighting.PATTERNS, 1.0), (Weighting.EXPERIENCES, 2 / 3 / 2)])
def test_with_own_outputs_each_old_experience_is_distilled_by_itself(weighting, each):
    stream = stream_of([0, 2], [1, 4], [3])
    learner = taught(arm(LwFRecipe(outputs=Outputs.OWN, weighting=weighting)), stream)
    (x, y), (teacher, student, loss) = patterns(learner, stream[2]), second_step(learner, stream[2])
    # The one output of the third experience has no competitor: its cross-entropy is 0.
    assert cross_entropy(student.decide(x), y, [3]) == 0.0
    groups = [distilled(student.decide(x), teacher.decide(x), group) for group in ([0, 2], [1, 4])]
    assert loss == pytest.approx(each * sum(groups), rel=1e-5)


def test_with_own_outputs_new_labels_compete_among_themselves():
    stream = stream_of([0, 2], [1, 4])
    learner = taught(arm(LwFRecipe(outputs=Outputs.OWN)), stream, 1)
    (x, y), (teacher, student, loss) = patterns(learner, stream[1]), second_step(learner, stream[1])
    kept = distilled(student.decide(x), teacher.decide(x), [0, 2])
    assert loss == pytest.approx(cross_entropy(student.decide(x), y, [1, 4]) + kept, rel=1e-5)


def test_exemplars_are_classified_and_distilled_like_the_data(stream):
    learner = taught(arm(LwFRecipe(), HERDED), stream)
    x, y = patterns(learner, stream[2])
    assert len(y) == 12 + 6
    teacher, student, loss = second_step(learner, stream[2])
    kept = distilled(student.decide(x), teacher.decide(x), [0, 2, 4])
    assert loss == pytest.approx(cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4]) + kept, rel=1e-5)


def test_without_strength_it_is_fine_tuning(stream):
    states = []
    for recipe in (arm(LwFRecipe(strength=0.0), HERDED), arm(plain(), HERDED)):
        learner = build_any(recipe)
        learn(learner, *stream)
        states.append(state_of(learner.classifier))
    assert same(*states)
