"""EmotionDetector.py through its main: lines, files, resuming, what stops it, --mode=test."""
import contextlib
import csv
import glob
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest
import warnings
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

import EmotionDetector
import EmotionDetectorUtils


def losses(output, kind="Training"):
    """The losses of the printed lines of a kind."""
    return [float(loss) for loss in re.findall(kind + r" Loss: (\d\.\d{6})$", output, re.MULTILINE)]


def scalars(folder):
    """The values of a folder's event files: {tag: {step: value}}."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/events.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


class TrainingTest(helpers.TestCase):

    def setUp(self):
        super().setUp()
        helpers.write_data()

    def test_a_short_run(self):
        output = self.assert_well(helpers.train("--max_iterations=106"))
        lines = output.splitlines()
        self.assertEqual(["Train size: 36", "Validation size: 4", "Test size: 9"], lines[:3])
        self.assertRegex(output, r"\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} Validation Loss: 1\.9")
        training, validation = losses(output), losses(output, "Validation")
        self.assertEqual((11, 3), (len(training), len(validation)))
        self.assertLess(training[-1], training[0] / 2)
        self.assertRegex(lines[-2], r"^Validation Accuracy: [01]\.\d{6}$")
        self.assertRegex(lines[-1], r"^Always answering \w+: [01]\.\d{6}$")

        self.assertEqual({f"model.ckpt-{step}.{suffix}" for step in (0, 100, 105)
                          for suffix in ("index", "meta", "data-00000-of-00001")},
                         {os.path.basename(path) for path in glob.glob("logs/model.ckpt*")})
        recorded = scalars("logs")
        total = [recorded["Entropy"][step] + 0.01 * recorded["Reg_loss"][step]
                 for step in range(0, 106, 10)]
        np.testing.assert_allclose(total, training, atol=1e-5)
        np.testing.assert_allclose([*recorded["Validation_loss"].values()], validation, atol=1e-5)
        self.assertEqual(8, sum(tag.split("/")[-1][:2] in ("W_", "b_") for tag in recorded))
        self.assertGreater(min(helpers.picture_size("logs/loss.png")), 400)

    def test_the_constants_are_the_book_s(self):
        names = ("BATCH_SIZE", "LEARNING_RATE", "MAX_ITERATIONS", "REGULARIZATION", "IMAGE_SIZE", "NUM_LABELS",
                 "VALIDATION_PERCENT")
        self.assertEqual([128, 1e-3, 1001, 1e-2, 48, 7, 0.1], [getattr(EmotionDetector, name) for name in names])
        flags = {name: EmotionDetector.FLAGS[name].default for name in ("data_dir", "logs_dir", "mode", "max_iterations")}
        self.assertEqual({"data_dir": "EmotionDetector/", "logs_dir": "logs/EmotionDetector_logs/", "mode": "train",
                          "max_iterations": 1001}, flags)

    def test_the_most_frequent_emotion_is_named(self):
        labels = np.array([3] * 20 + [5] * 12 + [1] * 8)
        helpers.write_csv("data/train.csv", labels, helpers.faces(40)[1])
        output = self.assert_well(helpers.train("--max_iterations=1"))
        held_out = labels[np.random.RandomState(0).permutation(40)[:4]]
        self.assertIn(f"\nAlways answering happy: {np.mean(held_out == 3):f}\n", output)

    def test_the_curves_are_drawn_under_their_names(self):
        with mock.patch.object(EmotionDetector, "save_figure") as save_figure:
            output = self.assert_well(helpers.train("--max_iterations=21"))
        (figure, path), _ = save_figure.call_args
        self.assertEqual(os.path.join("logs", "loss.png"), path)
        axes, = figure.axes
        for line, text, kind, steps in zip(axes.lines, axes.get_legend().texts, ("Training", "Validation"),
                                           ([0, 10, 20], [0, 20])):
            label = f"{kind.lower()}, dropout {'on' if kind == 'Training' else 'off'}"
            self.assertEqual((label, label), (line.get_label(), text.get_text()))
            self.assertEqual(steps, list(line.get_xdata()))
            np.testing.assert_allclose(losses(output, kind), list(line.get_ydata()), atol=1e-5)
        self.assertEqual(("step", "loss"), (axes.get_xlabel(), axes.get_ylabel()))

    def test_the_graph_lies_there_before_the_weights(self):
        """A kill between the two would otherwise leave a model without its graph."""
        save, there = tf.train.Saver.save, []

        def watching_save(saver, sess, path, global_step):
            there.append(os.path.exists(f"{path}-{global_step}.meta"))
            return save(saver, sess, path, global_step=global_step)

        with mock.patch.object(tf.train.Saver, "save", watching_save):
            self.assert_well(helpers.train("--max_iterations=2"))
        self.assertEqual([True, True], there)

    def test_two_runs_print_the_same_losses(self):
        """As scripts, which set what a GPU needs for that; 128 faces to train on, where the book divides by zero."""
        helpers.write_data(count=142)
        processes = [helpers.start_script("EmotionDetector.py", "--data_dir=data", "--max_iterations=3",
                                          f"--logs_dir={folder}") for folder in ("one", "two")]
        first, second = (self.assert_well(helpers.finish(process)) for process in processes)
        self.assertEqual(2, len(losses(first, "Validation")))
        self.assertEqual(losses(first, "Validation"), losses(second, "Validation"))

    def test_resuming_goes_on_from_the_saved_step(self):
        helpers.train("--max_iterations=6")
        output = self.assert_well(helpers.train("--max_iterations=21"))
        self.assertIn("Model Restored!\n", output)
        self.assertEqual(2, len(losses(output)))  # steps 10 and 20
        self.assertEqual(21, tf.train.load_variable("logs/model.ckpt-20", "Variable"))

        before = helpers.contents("logs")
        output = self.assert_well(helpers.train("--max_iterations=21"))
        self.assertIn("21 iterations are done. --max_iterations=121 would", output)
        self.assertEqual(before, helpers.contents("logs"))

    def test_another_run_s_checkpoints_are_left_alone(self):
        logs = os.path.abspath("logs")  # a full path, as `checkpoint` then holds it
        for iterations in range(1, 7):  # one checkpoint more than are kept
            helpers.train(f"--logs_dir={logs}", f"--max_iterations={iterations}")
        before = helpers.contents("logs")
        shutil.copytree("logs", "copy")
        self.assert_well(helpers.train("--logs_dir=copy", "--max_iterations=7"))
        self.assertEqual(before, helpers.contents("logs"))
        self.assertTrue(os.path.exists("copy/model.ckpt-6.index"))

    def test_another_data_set_is_refused_and_may_be_tested_on(self):
        helpers.train("--max_iterations=1")
        before = helpers.contents("logs")
        helpers.write_data(count=41)
        path = re.escape(os.path.abspath("logs/model.ckpt-0"))
        self.assert_stated(helpers.train("--max_iterations=2"),
                           f"^Error: {path} was trained on other data: .*--logs_dir")
        self.assertEqual(before, helpers.contents("logs"))
        self.assert_stated(helpers.train("--mode=test"), "was trained on other data than it is", 0)
        helpers.write_data()
        with mock.patch.object(EmotionDetectorUtils, "VALIDATION_PERCENT", 0.2):
            self.assert_stated(helpers.train("--max_iterations=2"), "was trained on other data: ")

    def test_carriage_returns_are_no_other_data(self):
        """Of the same faces with other line ends; and for an older model, in whose digest they count."""
        shutil.copytree("data", "windows")
        with open("data/train.csv", "rb") as file:
            content = file.read().replace(b"\n", b"\r\n")
        with open("windows/train.csv", "wb") as file:
            file.write(content)
        older = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with mock.patch.object(EmotionDetector, "data_fingerprint", return_value=older):
            self.assert_well(helpers.train("--data_dir=windows", "--max_iterations=1", "--logs_dir=older"))
        self.assert_well(helpers.train("--max_iterations=1"))
        for folder in ("older", "logs"):
            output = self.assert_well(helpers.train("--data_dir=windows", "--max_iterations=2", f"--logs_dir={folder}"))
            self.assertIn("Model Restored!", output)

    def test_practice_faces(self):
        """Told with the folder; learnt from; their test set has labels."""
        result = helpers.run_script(EmotionDetector, "--logs_dir=logs", "--max_iterations=1")
        folder = re.escape(os.path.abspath("EmotionDetector"))
        output = self.assert_stated(result, f"No train.csv in {folder}: practising .*Second-Edition", 0)
        self.assertIn("Train size: 3761\nValidation size: 417\nTest size: 1312\n", output)
        np.testing.assert_allclose(1.969239, losses(output), atol=2e-5)
        result = helpers.run_script(EmotionDetector, "--logs_dir=logs", "--mode=test")
        self.assertRegex(result[1], r"\nTest Accuracy: 0\.\d{6}\nFaces of each emotion")
        name, = helpers.write_pictures(helpers.faces(1)[1])
        self.assert_stated(helpers.classify(name), "has never seen a photograph", 0)

    @helpers.parameterized.parameters("--mode=tets", "--max_iterations=0", "--max_iteration=5",
                                      "--max_iterations=many", "train")
    def test_wrong_usage(self, argument):
        self.assert_stated(helpers.train(argument), f"^Error: .*{argument.split('=')[0].strip('-')}", 2)
        self.assertFalse(os.path.exists("logs"))

    @helpers.parameterized.parameters("file", "below a file", "run [2]", "run*", "a?", "back\\slash")
    def test_a_logs_dir_that_cannot_be(self, folder):
        if "file" in folder:
            open("file", "w").close()
            folder = "file/logs" if folder.startswith("below") else "file"
        status, output, errors = helpers.train(f"--logs_dir={folder}")
        self.assert_stated((status, output, errors), f"^Error: .*{re.escape(folder)}")
        self.assertNotIn("Loss", output)
        self.assertIn(os.listdir("."), (["data"], ["data", "file"], ["file", "data"]))

    def test_a_home_folder(self):
        os.mkdir("home")
        with mock.patch.dict(os.environ, HOME=os.path.abspath("home")):
            self.assert_well(helpers.train("--logs_dir=~/logs", "--max_iterations=1"))
        self.assertIn("checkpoint", os.listdir("home/logs"))

    def test_curves_of_another_program_and_of_a_killed_run(self):
        with tf.Graph().as_default():
            writer = tf.summary.FileWriter("logs")
            for tag in ("Validation_loss", "Entropy"):
                writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=7)]), 5)
            writer.close()
        whole, = glob.glob("logs/*")
        broken = "logs/events.out.tfevents.1"  # TensorFlow names them by the second
        os.rename(whole, broken)
        os.truncate(broken, os.path.getsize(broken) - 5)
        self.assert_well(helpers.train("--max_iterations=1"))
        with mock.patch.object(EmotionDetector.FLAGS["logs_dir"], "_value", "logs"):
            training, validation = EmotionDetector.recorded_losses()
        self.assertEqual(([0], [0, 5], 7), (list(training), sorted(validation), validation[5]))

    @helpers.EmotionDetectorUtils.new_graph()
    def test_in_batches_each_row_counts_once(self):
        """In the order of the rows, and in the mean, whatever the last batch's size."""
        values = np.random.RandomState(0).rand(300).astype(np.float32) * np.linspace(1, 9, 300)
        rows = tf.placeholder(tf.float32, [None])
        with tf.Session() as sess:
            np.testing.assert_array_equal(
                values.astype(np.float32), EmotionDetector.run_in_batches(sess, rows, {rows: values}))
            mean = EmotionDetector.run_in_batches(sess, tf.reduce_mean(rows), {rows: values})
        self.assertAlmostEqual(values.mean(), mean, delta=1e-5)


class StoppedTest(helpers.TestCase):
    """Whatever stops a run is stated, and the checkpoint before it stays; the process is as it was before."""

    def setUp(self):
        super().setUp()
        self.process = self.of_the_process()
        helpers.write_data()
        self.assert_well(helpers.train("--max_iterations=1"))
        self.before = {path: digest for path, digest in helpers.contents("logs").items()
                       if "tfevents" not in path}  # TensorFlow names them by the second

    def of_the_process(self):
        """What a run must leave as it is."""
        names = filter(lambda name: hasattr(signal, name), ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE"))
        handlers = [signal.getsignal(getattr(signal, name)) for name in names]
        return (*handlers, threading.excepthook, sys.excepthook, sys.stdout, tf.logging.get_verbosity(),
                list(warnings.filters), Image.MAX_IMAGE_PIXELS, dict(os.environ))

    def test_a_run_leaves_the_process_as_it_is(self):
        self.assert_well(helpers.train("--max_iterations=2"))
        self.assert_well(helpers.train("--mode=test"))
        self.assertEqual(self.process, self.of_the_process())

    def assert_stops(self, pattern):
        self.assert_stated(helpers.train("--max_iterations=6"),
                           f"^Error: Training has stopped: {pattern}.*stays in {os.getcwd()}/logs.$")
        after = helpers.contents("logs")
        self.assertEqual(self.before, {path: after.get(path) for path in self.before})
        self.assertEqual([], glob.glob("logs/model.ckpt-5*"))
        self.assertEqual([], [thread for thread in threading.enumerate() if "EventLogger" in thread.name])
        self.assertEqual(self.process, self.of_the_process())
        self.assertIn("Model Restored!", helpers.train("--max_iterations=2")[1])

    @helpers.parameterized.parameters(np.inf, np.nan)
    def test_a_loss_that_is_no_number(self, loss):
        with mock.patch.object(EmotionDetector, "run_in_batches", return_value=loss):
            self.assert_stops("the loss is NaN or infinite after step 5")

    def test_divergence(self):
        with mock.patch.object(EmotionDetector, "LEARNING_RATE", 1e10):
            self.assert_stops("(Nan in summary histogram|the loss is NaN or infinite)")

    def test_no_memory_for_a_step(self):
        """The first cause, also where TensorFlow counts several, as with a GPU."""
        several = ("2 root error(s) found.\n  (0) RESOURCE_EXHAUSTED: OOM when allocating tensor\n\t [[{{node add}}]]\n"
                   "  (1) UNKNOWN: other\n0 successful operations.")
        for words in ("OOM when allocating tensor\nat length", several):
            full = tf.errors.ResourceExhaustedError(None, None, words)
            with mock.patch.object(EmotionDetector, "get_next_batch", side_effect=full):
                self.assert_stops("OOM when allocating tensor[.]")

    def test_an_error_after_ctrl_c_is_told_all_the_same(self):
        def fail(*_args):
            signal.raise_signal(signal.SIGINT)
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

        with mock.patch.object(EmotionDetector, "get_next_batch", fail):
            self.assert_stops("OOM when allocating tensor")

    @unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "mounts a small disk")
    def test_full_disk(self):
        os.mkdir("small")
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", "small"], check=False)
        if mount.returncode:
            self.skipTest("no file system may be mounted here")
        self.addCleanup(subprocess.run, ["umount", "--lazy", "small"], check=True)
        shutil.copytree("logs", "small/logs")
        result = helpers.finish(helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=small/logs",
                                                     "--max_iterations=6"))
        self.assert_stated(result, "^Error: Training has stopped: .*No space left on device")
        after = helpers.contents("small/logs")
        self.assertEqual([*self.before.values()],
                         [after.get(f"small/{path}") for path in self.before])


class TestModeTest(helpers.TestCase):

    def test_tables_and_pictures(self):
        helpers.write_data()
        helpers.train("--max_iterations=31")
        os.remove("logs/loss.png")
        output = self.assert_well(helpers.train("--mode=test"))
        self.assertRegex(output, r"\nModel Restored!\nValidation Loss: \d\.\d{6}\nValidation Accuracy")
        table = [line.split() for line in output.splitlines()[-7:]]
        self.assertEqual(list(EmotionDetectorUtils.EMOTIONS), [row[0] for row in table])
        counts = np.array([row[1:] for row in table]).astype(int)
        self.assertEqual(4, counts[:, 0].sum())
        np.testing.assert_array_equal(counts[:, 0], counts[:, 2:].sum(axis=1))
        np.testing.assert_array_equal(counts[:, 1], counts[:, 2:].diagonal())
        accuracy = float(re.search(r"Validation Accuracy: (.*)", output).group(1))
        self.assertAlmostEqual(counts[:, 1].sum() / 4, accuracy)
        self.assertGreater(min(helpers.picture_size("logs/confusion_matrix.png")), 400)
        self.assertFalse({"loss.png", "confusion_matrix_test.png"} & set(os.listdir("logs")))
        with open("logs/predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([str(number) for number in range(1, 10)], [row["Id"] for row in rows])
        for row in rows:
            found = [float(row[emotion]) for emotion in EmotionDetectorUtils.EMOTIONS]
            self.assertAlmostEqual(1, sum(found), delta=1e-5)
            self.assertEqual(row["Emotion"], str(np.argmax(found)))

    def test_a_test_set_with_labels_and_none(self):
        helpers.write_data()
        helpers.train("--max_iterations=31")
        helpers.write_csv("data/test.csv", *helpers.faces(14, seed=1))
        with open("data/test.csv") as file:
            header, *lines = file.read().splitlines()
        with open("data/test.csv", "w") as file:
            print(f"Id,{header}", *(f"face {14 - row},{line}" for row, line in enumerate(lines)), sep="\n", file=file)
        output = self.assert_well(helpers.train("--mode=test"))
        with open("logs/predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([f"face {14 - row}" for row in range(14)], [row["Id"] for row in rows])
        self.assertIn("\nTest Accuracy: 1.000000\n", output)
        self.assertEqual(["neutral", "2", "2"], output.splitlines()[-1].split()[:3])
        self.assertGreater(min(helpers.picture_size("logs/confusion_matrix_test.png")), 400)

        os.remove("data/test.csv")
        os.remove("logs/predictions.csv")
        output = self.assert_stated(helpers.train("--mode=test"), "^No test set: predictions.csv", 0)
        self.assertIn("Test size: 0\n", output)
        self.assertFalse(os.path.exists("logs/predictions.csv"))

    def test_the_confusion_of_random_answers(self):
        """Against counts one by one: a row for the truth, a column for the answer; shaded by the share of each row."""
        rng = np.random.RandomState(2)
        labels = rng.choice([0, 1, 2, 3, 4, 6], 500, p=[0.4, 0.3, 0.2, 0.06, 0.03, 0.01])
        answers = np.where(rng.rand(500) < 0.6, labels, rng.choice([0, 1, 5], 500))
        counts = [[sum((labels == row) & (answers == column)) for column in range(7)] for row in range(7)]
        with (mock.patch.object(EmotionDetector, "save_figure") as save_figure,
              contextlib.redirect_stdout(io.StringIO()) as output):
            EmotionDetector.report_confusion(np.eye(7)[answers] + rng.rand(500, 7) / 2, labels, "test faces", "x.png")
        table = [line.split() for line in output.getvalue().splitlines()[-8:]]
        emotions = list(EmotionDetectorUtils.EMOTIONS)
        self.assertEqual(["faces", "correct", *emotions], table[0])
        self.assertEqual([[emotion, sum(row), row[label], *row] for label, (emotion, row) in enumerate(zip(emotions, counts))],
                         [[line[0], *map(int, line[1:])] for line in table[1:]])
        (figure, path), _ = save_figure.call_args
        axes, = figure.axes
        shares = axes.images[0].get_array()
        np.testing.assert_allclose([[count / max(1, sum(row)) for count in row] for row in counts], shares)
        self.assertEqual((0, 1), axes.images[0].get_clim())
        self.assertEqual({(column, row): (str(counts[row][column]), "white" if shares[row, column] > 0.5 else "black")
                          for row in range(7) for column in range(7) if counts[row][column]},
                         {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts})
        for ticks in axes.get_xticklabels(), axes.get_yticklabels():
            self.assertEqual([(emotion, 0) for emotion in emotions], [(tick.get_text(), tick.get_rotation()) for tick in ticks])
        self.assertEqual(("predicted", "emotion of the face", "x.png"), (axes.get_xlabel(), axes.get_ylabel(), path))
        self.assertEqual(f"{sum(labels == answers)} of 500 test faces are recognized", axes.get_title())

    def test_no_picture_can_be_drawn(self):
        helpers.write_data()
        helpers.train("--max_iterations=1")
        with mock.patch.object(EmotionDetector, "load_pyplot",
                               side_effect=EmotionDetectorUtils.UserError("no matplotlib")):
            self.assert_stated(helpers.train("--mode=test"), "no matplotlib")
        self.assertTrue(os.path.exists("logs/predictions.csv"))
