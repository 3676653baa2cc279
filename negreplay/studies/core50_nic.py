"""CORe50 NIC-391: one short video at a time (Tables 8, 9 and 12; results in Table 2, Figures 4 and 11).

All six arms take some 8 hours a seed on two cores (estimated from the time of a step; the no-replay arm, which trains
the whole network, nearly half of it). They are evaluated after every tenth experience and the last, and averages are
over these evaluations. Expect the final accuracies of Table 2: no replay 52.71, NR-OD 67.93, NR-GD 61.46, NR-RD 58.85,
PR-OD about 66, PR-GD about 22.
"""

from dataclasses import replace

from negreplay.recipe import (
    Mode,
    PhaseRecipe,
    ReplayRecipe,
    Scenario,
    Source,
    StreamRecipe,
    Study,
    SynapticIntelligenceRecipe,
)
from negreplay.studies.arms import replay_arms
from negreplay.studies.core50_nc import TABLE_4, TABLE_5, TABLE_10

TABLE_8 = replace(
    TABLE_4,
    stream=StreamRecipe("core50", Scenario.NIC, lists="nicv2_391"),
    first=PhaseRecipe(epochs=4, lr_features=1e-3, lr_head=1e-3),
    following=PhaseRecipe(epochs=4, lr_features=1e-4, lr_head=1e-3),
    learner=replace(TABLE_4.learner, penalty=SynapticIntelligenceRecipe(strength=2.3e6, clip=1e-3, multiplier=2e-5)),
    evaluate_every=10,
)
TABLE_9 = replace(
    TABLE_8,
    name="pr-od",
    classifier=TABLE_5.classifier,
    replay=ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, memory=300, per_minibatch=64),
    learner=TABLE_5.learner,
)
TABLE_12 = replace(TABLE_10, per_minibatch=64)
PR_OD, PR_GD, NR_OD, NR_GD, NR_RD = replay_arms(TABLE_9, TABLE_12)
# Table 9 has no memory of random patterns ("N/A"): it draws them for every minibatch. Here 300 are drawn for an
# experience, and 21 of them for every minibatch.
RANDOM = replace(NR_RD, replay=replace(NR_RD.replay, per_minibatch=21))
REPLAY = (PR_OD, PR_GD, NR_OD, NR_GD, RANDOM)

CORE50_NIC = Study(
    "core50-nic",
    "CORe50 NIC-391: one short video of one object at a time.",
    (TABLE_8, *REPLAY),
    reproduces=("table2", "figure4", "figure11"),
    hours=24.0,
)
