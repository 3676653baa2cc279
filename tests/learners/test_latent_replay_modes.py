"""What replayed patterns change in the head, by mode, and in the features."""

import torch
from arms import CLASSES, PR_OD, build, features_of, learn, replaying
from states import state_of

from negreplay.nets.heads import ConsolidatedHead
from negreplay.patterns import counts_of
from negreplay.recipe import Mode, Source


def test_negative_replay_changes_rows_of_current_classes_only(stream):
    for source in (Source.ORIGINAL, Source.GENERATED, Source.RANDOM):
        learner = build(replaying(source, Mode.NEGATIVE))
        for experience in stream:
            head = learner.classifier.head
            assert isinstance(head, ConsolidatedHead)
            kept, past = head.kept.clone(), head.past.clone()
            learn(learner, experience)
            absent = experience.counts == 0
            assert torch.equal(head.kept[absent], kept[absent])
            assert not torch.isclose(head.kept[~absent], kept[~absent]).all()
            assert torch.equal(head.past, past + experience.counts)


def test_positive_replay_changes_rows_of_replayed_classes(stream):
    learner = build(PR_OD)
    head = learner.classifier.head
    assert isinstance(head, ConsolidatedHead)
    learn(learner, stream[0])
    kept, counts = head.kept.clone(), counts_of(learner.source.recall(), CLASSES)
    learn(learner, stream[1])
    assert counts[[0, 2]].min() > 0 and not torch.isclose(head.kept[[0, 2]], kept[[0, 2]]).any()
    assert torch.equal(head.past, stream[0].counts + counts + stream[1].counts)


def test_replayed_patterns_move_features_unless_they_are_stopped(stream):
    moved = {}
    for through_features in (True, False):
        learner = build(replaying(Source.ORIGINAL, Mode.NEGATIVE, through_features))
        learn(learner, stream[0])
        features, head = features_of(learner), state_of(learner.classifier.head)["weight"]
        learn(learner, stream[1])
        moved[through_features] = features_of(learner), head
    # Alike up to here, and different after it.
    assert torch.equal(moved[True][1], moved[False][1])
    assert not torch.equal(moved[True][0]["back.conv3.conv.weight"], moved[False][0]["back.conv3.conv.weight"])
    assert features["front.conv1.conv.weight"].equal(moved[False][0]["front.conv1.conv.weight"])
