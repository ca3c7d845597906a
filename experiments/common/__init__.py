"""Helpers that several experiments share: command line, files, tables, baselines."""

from experiments.common._baseline_grids import Setting as Setting
from experiments.common._baseline_grids import (
    fine_tuned_settings as fine_tuned_settings,
)
from experiments.common._baseline_grids import frozen_settings as frozen_settings
from experiments.common._baselines import against_baselines as against_baselines
from experiments.common._classifier_comparison import (
    LAST_TWO_OF_SIX as LAST_TWO_OF_SIX,
)
from experiments.common._classifier_comparison import (
    classifier_table as classifier_table,
)
from experiments.common._classifier_comparison import (
    compare_classifiers as compare_classifiers,
)
from experiments.common._classifier_comparison import compare_frozen as compare_frozen
from experiments.common._decoder_comparison import compare_decoders as compare_decoders
from experiments.common._decoder_methods import METAICL_ALONE as METAICL_ALONE
from experiments.common._decoder_methods import decoder_config as decoder_config
from experiments.common._decoder_script import rest_for_training as rest_for_training
from experiments.common._decoder_script import run_comparison as run_comparison
from experiments.common._files import data_folder as data_folder
from experiments.common._files import file_digest as file_digest
from experiments.common._files import read_jsonl as read_jsonl
from experiments.common._files import write_json as write_json
from experiments.common._files import write_jsonl as write_jsonl
from experiments.common._flops import step_flops as step_flops
from experiments.common._generation_task import generation_task as generation_task
from experiments.common._heads import takes_unlabelled as takes_unlabelled
from experiments.common._intervals import OURS as OURS
from experiments.common._intervals import mean_intervals as mean_intervals
from experiments.common._intervals import paired_intervals as paired_intervals
from experiments.common._intervals import plain_intervals as plain_intervals
from experiments.common._joint_baseline import against_joint as against_joint
from experiments.common._joint_baseline import compare_with_joint as compare_with_joint
from experiments.common._joint_baseline import on_domains as on_domains
from experiments.common._kept_records import kept_record as kept_record
from experiments.common._kept_records import model_digest as model_digest
from experiments.common._kept_records import read_record as read_record
from experiments.common._kept_records import write_record as write_record
from experiments.common._published_episodes import score_episodes as score_episodes
from experiments.common._published_episodes import score_pretrained as score_pretrained
from experiments.common._script import encoder_options as encoder_options
from experiments.common._script import (
    end_program_on_interrupt as end_program_on_interrupt,
)
from experiments.common._script import on_data as on_data
from experiments.common._script import on_model as on_model
from experiments.common._script import run_command as run_command
from experiments.common._script import run_script as run_script
from experiments.common._short_pairs import short_pairs as short_pairs
from experiments.common._tables import markdown_table as markdown_table
from experiments.common._tables import percent as percent

__all__ = [
    "LAST_TWO_OF_SIX",
    "METAICL_ALONE",
    "OURS",
    "Setting",
    "against_baselines",
    "against_joint",
    "classifier_table",
    "compare_classifiers",
    "compare_decoders",
    "compare_frozen",
    "compare_with_joint",
    "data_folder",
    "decoder_config",
    "encoder_options",
    "end_program_on_interrupt",
    "file_digest",
    "fine_tuned_settings",
    "frozen_settings",
    "generation_task",
    "kept_record",
    "markdown_table",
    "mean_intervals",
    "model_digest",
    "on_data",
    "on_domains",
    "on_model",
    "paired_intervals",
    "percent",
    "plain_intervals",
    "read_jsonl",
    "read_record",
    "rest_for_training",
    "run_command",
    "run_comparison",
    "run_script",
    "score_episodes",
    "score_pretrained",
    "short_pairs",
    "step_flops",
    "takes_unlabelled",
    "write_json",
    "write_jsonl",
    "write_record",
]
