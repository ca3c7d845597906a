"""State of watching: charts, groups of texts and alarms."""

import dataclasses
import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metaflax.workflows.watching import _control_chart
from metaflax.workflows.watching._control_chart import Chart

# Number of texts of a group that an alarm shows, the most probable ones.
NUM_EXAMPLES = 3
# Smallest number of usual texts that charts are fitted to.
LEAST_PAST, LEAST_PAST_GROUPS = 100, 5


@dataclasses.dataclass(frozen=True)
class Group:
    """Incomplete group, the texts since the last complete group.

    Attributes:
      count: number of texts.
      sums: sum of their probabilities, by class.
      examples: probabilities and texts of the most probable ones, by class.
    """

    count: int = 0
    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)
    examples: Mapping[str, Sequence[tuple[float, str]]] = dataclasses.field(
        default_factory=dict
    )

    def with_text(self, text: str, shares: Mapping[str, float]) -> "Group":
        """Returns the group with one more text."""
        sums, examples = {}, {}
        for name, share in shares.items():
            sums[name] = self.sums.get(name, 0.0) + share
            known = [*map(tuple, self.examples.get(name, ())), (share, text)]
            examples[name] = heapq.nlargest(NUM_EXAMPLES, known)
        return Group(self.count + 1, sums, examples)


@dataclasses.dataclass(frozen=True)
class Monitor:
    """Charts of classes with their current statistics.

    Attributes:
      size: number of texts of a group.
      rate: largest number of false alarms per group, of all classes together.
      charts: charts by class.
      statistics: statistic of each chart after the last complete group.
      num_groups: number of complete groups.
      group: the incomplete group.
    """

    size: int
    rate: float
    charts: Mapping[str, Chart]
    statistics: Mapping[str, float]
    num_groups: int = 0
    group: Group = Group()

    @classmethod
    def fitted(
        cls, past: Sequence[Mapping[str, float]], size: int, rate: float
    ) -> "Monitor":
        """Fits a chart of each class to usual texts.

        Args:
          past: probabilities by class, of each usual text.
          size: number of texts of a group.
          rate: largest number of false alarms per group.

        Raises:
          ValueError: if there are too few texts, or a class cannot be watched.
        """
        least = max(LEAST_PAST, LEAST_PAST_GROUPS * size)
        if len(past) < least:
            raise ValueError(
                f"there are {len(past)} usual texts; for groups of {size} give {least}"
                " or more, without an event that is to raise an alarm."
            )
        charts = {}
        for name in past[0]:
            values = np.array([shares[name] for shares in past])
            try:
                charts[name] = _control_chart.fit(values, size, rate / len(past[0]))
            except ValueError as error:
                raise ValueError(
                    f"the class {name!r} cannot be watched: {error}; leave it out"
                    " (classes), or allow more false alarms."
                ) from error
        return cls(size, rate, charts, dict.fromkeys(charts, 0.0))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Monitor":
        """Restores a monitor from its `record`."""
        charts = {name: Chart(**chart) for name, chart in record["charts"].items()}
        fields = {**record, "charts": charts, "group": Group(**record["group"])}
        return cls(**fields)

    def record(self) -> dict[str, Any]:
        """Returns the state as a JSON object."""
        charts = {name: chart._asdict() for name, chart in self.charts.items()}
        return {**dataclasses.asdict(self), "charts": charts}

    def after(
        self, text: str, shares: Mapping[str, float]
    ) -> tuple["Monitor", list[dict[str, Any]]]:
        """Updates the charts with another text.

        Args:
          text: the text, to show in an alarm.
          shares: its probability of each watched class.

        Returns:
          The state after it, and a record of each alarm.
        """
        group = self.group.with_text(text, {name: shares[name] for name in self.charts})
        if group.count < self.size:
            return dataclasses.replace(self, group=group), []
        alarms, statistics = [], {}
        for name, chart in self.charts.items():
            mean = group.sums[name] / group.count
            statistic = chart.next(self.statistics[name], mean, group.count)
            is_alarm = statistic > chart.threshold
            statistics[name] = 0.0 if is_alarm else statistic
            if is_alarm:
                alarms.append(
                    {
                        "class": name,
                        "group": self.num_groups + 1,
                        "share": round(mean, 6),
                        "usual_share": round(chart.level, 6),
                        "statistic": round(statistic, 4),
                        "threshold": round(chart.threshold, 4),
                        "texts": [example for _, example in group.examples[name]],
                    }
                )
        after = dataclasses.replace(
            self,
            statistics=statistics,
            num_groups=self.num_groups + 1,
            group=Group(),
        )
        return after, alarms
