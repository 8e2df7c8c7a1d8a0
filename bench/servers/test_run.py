"""Tests of what is not measuring: `python3 -m unittest discover -s bench/servers`."""

import io
import json
import pathlib
import tempfile
import unittest
import xml.etree.ElementTree as xml
from unittest import mock

import log as logs
import plot
import progress
import report
import rows
import run
import servers
from harness import Failure

HEADER = {"servers": ["uws", "wirelet", "bun"], "extra": [], "baseline": None, "rows": ["100x1x20", "idle-50000"], "rounds": 4, "peer_rounds": 2,
          "seconds": 1.0, "machine": {"machine": "a machine"}, "programs": {}}


def echo_sample(index, server, cpu, row="100x1x20", frozen=0.0):
    """A measurement of an echo with so many microseconds a message."""
    load = {"messages": 1_000_000, "seconds": 1.0, "server_cpu_seconds": cpu, "load_cpu_seconds": 1.0, "frozen_seconds": frozen,
            "p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0, "answer_bytes": 20}
    return {"round": index, "row": row, "server": server, "at": "2026-11-29T00:00:00",
            "probe": {"frozen_ms": 0.0, "probe_ms": 150.0, "longest_ms": 0.0}, "load": load}


class Numbers(unittest.TestCase):
    def test_a_spread_is_the_median_between_the_least_and_the_largest(self):
        self.assertEqual(rows.Spread.of([3, 1, 10]), rows.Spread(3, 1, 10))
        self.assertEqual(rows.Spread.of([1, 2]), rows.Spread(1.5, 1, 2))
        self.assertIsNone(rows.Spread.of([]))

    def test_ratios_are_those_of_the_same_round(self):
        ours = [echo_sample(0, "wirelet", 2.0), echo_sample(1, "wirelet", 30.0), echo_sample(3, "wirelet", 4.0)]
        theirs = [echo_sample(1, "uws", 10.0), echo_sample(0, "uws", 1.0), echo_sample(2, "uws", 1.0)]
        self.assertEqual(rows.paired(ours, theirs, rows.CPU), rows.Spread(2.5, 2.0, 3.0))
        self.assertIsNone(rows.paired(ours, [], rows.CPU))

    def test_sizes_are_written_as_people_do(self):
        self.assertEqual([rows.bytes_of(size) for size in (20, 4096, 1 << 20)], ["20 B", "4 KiB", "1 MiB"])

    def test_goals_are_about_rows_and_figures_that_exist(self):
        for goal in rows.GOALS:
            self.assertIn(goal.figure, rows.GROUPS[rows.ROWS[goal.row].group].figures)
            self.assertIn(goal.of, {**rows.ROWS, **servers.SERVERS})

    def test_each_row_is_in_a_group_whose_base_takes_part(self):
        for row in rows.ROWS.values():
            self.assertTrue(row.takes_part(servers.SERVERS[rows.GROUPS[row.group].base]), row.key)


class Plans(unittest.TestCase):
    def jobs(self):
        return [(index, row.key, server.name) for index, row, server in run.plan(HEADER, run.compared(HEADER))]

    def test_who_is_first_moves_on(self):
        order = [server for index, row, server in self.jobs() if (index, row) == (1, "100x1x20")]
        self.assertEqual(order, ["wirelet", "bun", "uws"])

    def test_peers_have_fewer_rounds_and_so_has_memory(self):
        count = lambda row, server: sum(job[1:] == (row, server) for job in self.jobs())  # noqa: E731
        self.assertEqual([count("100x1x20", name) for name in ("uws", "wirelet", "bun")], [4, 4, 2])
        self.assertEqual([count("idle-50000", name) for name in ("wirelet", "bun")], [3, 2])

    def test_a_server_is_not_asked_for_what_it_does_not_do(self):
        header = {**HEADER, "servers": ["rawtokio", "uws"], "rows": ["deflate-1"]}
        self.assertEqual({server.name for _, _, server in run.plan(header, run.compared(header))}, {"uws"})

    def test_groups_stand_for_their_rows(self):
        asked = run.header(run.parse(["--rows", "deflate,100x1x20", "--rounds", "2"]))
        self.assertEqual(asked["rows"], ["deflate-1", "deflate-16", "100x1x20"])
        self.assertEqual((asked["rounds"], asked["peer_rounds"]), (2, 2))

    def test_goals_choose_servers_rows_and_rounds(self):
        asked = run.header(run.parse(["--goals"]))
        self.assertEqual((asked["servers"], asked["rounds"]), (["uws", "rawtokio", "wirelet"], 9))
        self.assertEqual(set(asked["rows"]), set(rows.GOAL_ROWS))

    def test_an_unknown_name_is_an_error(self):
        for words in (["--servers", "nobody"], ["--rows", "1x1x21"], ["--resume", "--goals"]):
            with self.assertRaises(SystemExit), mock.patch("sys.stderr", io.StringIO()):
                run.parse(words)


class Commands(unittest.TestCase):
    def test_placeholders_are_filled_in_whatever_else_stands_there(self):
        words = servers.command("{load} {port} '{x}' {mode}", {"load": "/a folder/load", "port": 1, "mode": "echo"})
        self.assertEqual(words, ["/a folder/load", "1", "{x}", "echo"])

    def test_an_extra_server_does_what_its_command_has_places_for(self):
        self.assertEqual(servers.extra("old=/old {port}").modes, ("echo",))
        self.assertEqual(servers.extra("old=/old {port} {mode} {workers}").modes, ("echo", "broadcast", "deflate", "workers"))
        for words in ("old", "=x", "uws=x"):
            with self.assertRaises(Failure):
                servers.extra(words)

    def test_a_baseline_is_a_server_of_a_revision(self):
        found = servers.baseline("HEAD")
        self.assertRegex(found.name, "^wirelet-[0-9a-f]+$")
        self.assertIn(f"{{{found.name}}}", found.command)
        with self.assertRaises(Failure):
            servers.baseline("no-such-revision")

    def test_no_more_connections_than_open_files(self):
        with mock.patch("resource.getrlimit", return_value=(20_000, 20_000)):
            self.assertEqual(run.allowed(("idle", "--connections", 50_000)), ["idle", "--connections", 19_500])
            self.assertEqual(run.allowed(("echo", "--connections", 1)), ["echo", "--connections", 1])


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for patch in (mock.patch.object(logs, "FILE", self.folder / "run.jsonl"), mock.patch.object(report, "FOLDER", self.folder / "report")):
            patch.start()
            self.addCleanup(patch.stop)


class Logs(InAFolder):
    def test_a_run_goes_on_where_it_stopped(self):
        first = logs.Log.begin(HEADER)
        first.add(echo_sample(0, "uws", 1.0))
        first.add({"round": 0, "row": "100x1x20", "server": "bun", "error": "no"})
        with logs.FILE.open("a") as file:
            file.write('{"round": 0, "row": "100x1')
        again = logs.Log.resume()
        self.assertEqual(again.header, HEADER)
        self.assertEqual(again.done(), {(0, "100x1x20", "uws")})
        self.assertEqual(again.failures(), {(0, "100x1x20", "bun"): "no"})
        again.add(echo_sample(0, "bun", 1.0))
        self.assertEqual(again.failures(), {})
        self.assertEqual(len(logs.Log.resume().samples), 3)

    def test_a_new_run_keeps_the_last_one(self):
        logs.Log.begin(HEADER).add(echo_sample(0, "uws", 1.0))
        logs.Log.begin(HEADER)
        self.assertEqual(len((self.folder / "run.previous.jsonl").read_text().splitlines()), 2)

    def test_nothing_to_go_on_with_is_said(self):
        with self.assertRaises(Failure):
            logs.Log.resume()


class Reports(InAFolder):
    def written(self, header, samples, missing=0):
        found = logs.Log.begin(header)
        for sample in samples:
            found.add(sample)
        return report.write(found, run.compared(header), missing)

    def test_a_table_has_medians_ratios_and_freezes(self):
        samples = [echo_sample(index, "uws", cpu) for index, cpu in enumerate((4.0, 5.0, 4.2))]
        samples += [echo_sample(index, "wirelet", cpu, frozen=0.03) for index, cpu in enumerate((8.0, 5.0, 4.2))]
        samples.append({"round": 0, "row": "100x1x20", "server": "bun", "error": "it said no\nmore"})
        text = self.written(HEADER, samples).text
        self.assertIn("| uWebSockets | 4.200 | 4.000 – 5.000 | 1.00 | 1.00 – 1.00 |", text)
        self.assertIn("| **wirelet** | **5.000** | **4.200 – 8.000** | **1.00** | **1.00 – 2.00** |", text)
        self.assertIn("| 0.0 (0.0) | 3.0 (3.0) ! |", text)
        self.assertIn("| Bun | **failed**: it said no |", text)
        self.assertNotIn("## Goals", text)
        self.assertNotIn("incomplete", text)
        self.assertNotIn("not quiet", text)
        noisy = self.written(HEADER, [echo_sample(0, "uws", 1.0, frozen=0.5)]).text
        self.assertIn("**the machine was not quiet**", noisy)
        self.assertIn("**incomplete**: 3 measurements", self.written(HEADER, samples, 3).text)

    def test_the_summary_has_the_best_library_in_rust(self):
        header = {**HEADER, "servers": ["uws", "wirelet", "wtx", "yawc"]}
        samples = [echo_sample(0, name, cpu) for name, cpu in (("uws", 4.0), ("wirelet", 5.0), ("wtx", 7.0), ("yawc", 6.0))]
        text = self.written(header, samples).text
        self.assertIn("| Echo, 100 × 1 × 20 B: CPU µs a message | **5.000** | 1.25 | 4.000 | 6.000 yawc |", text)

    def test_goals_are_reached_missed_or_not_measured(self):
        header = {**HEADER, "servers": ["uws", "rawtokio", "wirelet"], "rows": list(rows.GOAL_ROWS)}
        samples = [echo_sample(0, name, cpu) for name, cpu in (("uws", 4.0), ("rawtokio", 4.2), ("wirelet", 4.2))]
        samples += [echo_sample(0, name, cpu, "1x1x20") for name, cpu in (("uws", 4.0), ("wirelet", 8.0))]
        written = self.written(header, samples)
        self.assertIn("| 100 × 1 × 20 B | 1.05 | **1.05** | 1.05 – 1.05 | ≤ 1.08 | reached |", written.text)
        self.assertIn("| 1 × 1 × 20 B |  | **2.00** | 2.00 – 2.00 | ≤ 1.03 | missed |", written.text)
        self.assertIn("| 1,000 × 1 × 20 B |  | not measured |", written.text)
        self.assertEqual(written.missed, len(rows.GOALS) - 1)

    def test_the_files_are_json_and_svg(self):
        written = self.written(HEADER, [echo_sample(0, "uws", 1.0), echo_sample(0, "wirelet", 2.0)])
        found = {file.name: file.read_text() for file in written.files}
        self.assertEqual(set(found), {"servers.md", "servers.json", "servers-echo.svg"})
        measured = json.loads(found["servers.json"])["rows"][0]["servers"]["wirelet"]
        self.assertEqual(measured["figures"]["cpu"], {"median": 2.0, "low": 2.0, "high": 2.0})
        self.assertEqual(measured["ratio"]["median"], 2.0)


class Plots(unittest.TestCase):
    BARS = [plot.Bar("a & <b>", 1.0, 0.5, 2.0, "ours"), plot.Bar("c", 4.0, 4.0, 4.0, "peer")]

    def test_a_picture_is_well_formed_and_as_high_as_its_panels(self):
        for count in (1, 2, 3, 4, 14):
            picture = xml.fromstring(plot.bars("Title", "about", "foot", [plot.Panel("panel", self.BARS)] * count))
            texts = [node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")]
            self.assertEqual(texts.count("a & <b>"), count)
            lowest = max(float(node.get("y")) for node in picture.iter("{http://www.w3.org/2000/svg}text"))
            self.assertLess(lowest, float(picture.get("height")))

    def test_bars_are_as_long_as_their_medians(self):
        picture = xml.fromstring(plot.bars("Title", "about", "foot", [plot.Panel("panel", self.BARS)]))
        long = {node.get("class"): float(node.get("width")) for node in picture.iter("{http://www.w3.org/2000/svg}rect")}
        self.assertAlmostEqual(long["peer"] / long["ours"], 4, delta=0.05)

    def test_numbers_have_no_more_digits_than_they_are_worth(self):
        self.assertEqual([plot.number(value, 3) for value in (0.25, 315.04, 65618.2)], ["0.250", "315.0", "65,618"])


class Bars(unittest.TestCase):
    def test_without_a_terminal_there_are_plain_lines(self):
        stream = io.StringIO()
        shown = progress.Progress(2, stream)
        shown.begin("one")
        shown.end()
        shown.say("kept")
        shown.close()
        self.assertEqual(stream.getvalue(), "[........................] 0/2  one\nkept\n")

    def test_on_a_terminal_a_line_is_drawn_over(self):
        stream = io.StringIO()
        stream.isatty = lambda: True
        shown = progress.Progress(2, stream)
        shown.begin("one")
        shown.end()
        shown.begin("two")
        self.assertIn("\r\x1b[K[############............] 1/2, 0:00 left  two", stream.getvalue())

    def test_times_are_minutes_and_seconds(self):
        self.assertEqual([progress.clock(seconds) for seconds in (0, 59.6, 61)], ["0:00", "1:00", "1:01"])


if __name__ == "__main__":
    unittest.main()
