"""The table of commands."""

from metaflax.cli.commands._adapt import Adapt
from metaflax.cli.commands._augment import Augment
from metaflax.cli.commands._cluster import Cluster
from metaflax.cli.commands._compare import Compare
from metaflax.cli.commands._completion import Completion
from metaflax.cli.commands._evaluate import Evaluate
from metaflax.cli.commands._export import Export
from metaflax.cli.commands._fairness import Fairness
from metaflax.cli.commands._finetune import Finetune
from metaflax.cli.commands._mix import Mix
from metaflax.cli.commands._models import Models
from metaflax.cli.commands._new import New
from metaflax.cli.commands._predict import Predict
from metaflax.cli.commands._pretrain import Pretrain
from metaflax.cli.commands._quickstart import Quickstart
from metaflax.cli.commands._replay import Replay
from metaflax.cli.commands._report import Report
from metaflax.cli.commands._search import Search
from metaflax.cli.commands._serve import Serve
from metaflax.cli.commands._suggest import Suggest
from metaflax.cli.commands._train import Train
from metaflax.cli.commands._watch import Watch

# In the order of `metaflax --help`.
GROUPS = {
    "First steps": (Quickstart, Train, Evaluate, Adapt, Predict),
    "Other training": (Mix, Search, Finetune, Pretrain, Replay),
    "Models and data": (Models, New, Export, Augment, Cluster, Suggest),
    "Results": (Report, Compare, Fairness),
    "Service": (Serve, Watch),
    "Shell": (Completion,),
}
COMMANDS = {
    command.__name__.lower(): command
    for commands in GROUPS.values()
    for command in commands
}
