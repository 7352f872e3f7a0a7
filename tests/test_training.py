"""EmotionDetector.py through its main: lines, files, resuming, what stops it, --mode=test."""
import contextlib
import csv
import glob
import io
import os
import re
import shutil
import sys
import threading
import time
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib.figure import Figure
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


def drawn(run, *args):
    """What a function returns, and what it draws: {file: figure}."""
    with mock.patch.object(Figure, "savefig", autospec=True, side_effect=Figure.savefig) as savefig:
        result = run(*args)
    return result, {os.path.basename(call.args[1]): call.args[0] for call in savefig.call_args_list}


class TrainingTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_data(count=20)

    def test_a_short_run(self):
        output = self.assert_well(helpers.train("--max_iterations=106"))
        training, validation = losses(output), losses(output, "Validation")
        self.assertRegex(output, r"^Train size: 18\nValidation size: 2\nTest size: 9\nTraining Loss: 1\.96\d{4}\n"
                         r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} Validation Loss: 1\.9\d{5}\n(.+\n)+"
                         r"Validation Accuracy: [01]\.\d{6}\nAlways answering \w+: [01]\.\d{6}\n$")
        self.assertEqual((11, 3), (len(training), len(validation)))
        self.assertLess(training[-1], training[0] / 2)
        self.assertCountEqual([f"logs/model.ckpt-{step}.{ending}" for step in (0, 100, 105)
                               for ending in ("index", "meta", "data-00000-of-00001")], glob.glob("logs/model.ckpt*"))
        recorded = scalars("logs")
        total = [recorded["Entropy"][step] + 0.01 * recorded["Reg_loss"][step] for step in range(0, 106, 10)]
        np.testing.assert_allclose(total, training, atol=1e-5)
        self.assertEqual(8, sum(tag.split("/")[-1][:2] in ("W_", "b_") for tag in recorded))

    def test_the_most_frequent_emotion_of_the_training_faces_is_named(self):
        order = np.random.RandomState(0).permutation(40)
        labels = np.array([3] * 40)
        labels[order[:3]], labels[order[4:20]] = 4, 1  # of the four validation faces three are sad
        helpers.write_csv("data/train.csv", labels, helpers.faces(40)[1])
        for flag in "--max_iterations=1", "--mode=test":
            self.assertIn("\nAlways answering happy: 0.250000\n", self.assert_well(helpers.train(flag)))

    def test_practice_faces_are_told_where_a_model_learns_and_where_it_answers(self):
        result = helpers.run_script(EmotionDetector, "--logs_dir=logs", "--max_iterations=1")
        output = self.assert_stated(result, f"No train.csv in {self.folder}/EmotionDetector: practising .*Edition", 0)
        self.assertIn("Train size: 3761\nValidation size: 417\nTest size: 1312\n", output)
        np.testing.assert_allclose([1.969239, 1.972940], [*losses(output), *losses(output, "Validation")], atol=2e-5)
        answer = helpers.classify(*helpers.write_pictures(helpers.faces(1)[1]))
        self.assert_stated(answer, "logs/model.ckpt-0 was trained on .* has never seen a photograph", 0)

    @helpers.cases("--mode=tets", "--max_iterations=0", "--max_iteration=5", "--logs_dir=", "train")
    def test_wrong_usage(self, argument):
        self.assert_stated(helpers.train(argument), f"^Error: .*{argument.split('=')[0].strip('-')}.*--help lists", 2)
        self.assertFalse(os.path.exists("logs"))

    @EmotionDetectorUtils.new_graph()
    def test_in_batches_each_row_counts_once(self):
        values = (np.random.RandomState(0).rand(300) * np.linspace(1, 9, 300)).astype(np.float32)
        rows = tf.placeholder(tf.float32, [None])
        with tf.Session() as sess:
            np.testing.assert_array_equal(values, EmotionDetector.run_in_batches(sess, rows, {rows: values}))
            mean = EmotionDetector.run_in_batches(sess, tf.reduce_mean(rows), {rows: values})
        self.assertAlmostEqual(values.mean(), mean, delta=1e-5)

    def test_faces_that_no_batch_holds_are_told_if_more_than_one_in_a_hundred(self):
        expected = ""
        for rows in [*range(1, 300), 3761]:
            images = np.arange(rows)
            held = {row for step in range(rows) for row in EmotionDetector.get_next_batch(images, images, step)[0]}
            if len(held) < 0.99 * rows:
                expected += f"{rows - len(held)} of the {rows} training faces are never trained on: .*\n"
            EmotionDetector.warn_of_unused(rows)
        self.assertRegex(sys.stderr.getvalue(), f"^{expected}$")

    def test_without_dropout_an_interrupted_run_is_an_undisturbed_one(self):
        """Its losses, and all 27 variables at its end: weights, Adam's state and the step."""
        with mock.patch.object(tf.nn, "dropout", lambda x, keep_prob: x):
            undisturbed = self.assert_well(helpers.train("--max_iterations=11", "--logs_dir=undisturbed"))
            self.assert_well(helpers.train("--max_iterations=6"))
            resumed = self.assert_well(helpers.train("--max_iterations=11"))
        np.testing.assert_allclose(losses(undisturbed)[1:], losses(resumed), atol=1e-6)
        readers = [tf.train.load_checkpoint(f"{logs}/model.ckpt-10") for logs in ("undisturbed", "logs")]
        names = readers[0].get_variable_to_shape_map()
        self.assertEqual((27, 11), (len(names), readers[1].get_tensor("Variable")))
        for name in names:
            np.testing.assert_allclose(*(reader.get_tensor(name) for reader in readers), atol=1e-5, err_msg=name)

    def test_no_step_is_printed_recorded_or_saved_twice(self):
        output = ""
        for count in (2, 11, 12):
            time.sleep(1 - time.time() % 1)  # TensorFlow names a file of curves by the second
            output += self.assert_well(helpers.train(f"--max_iterations={count}"))
        self.assertLen(losses(output), 2)
        recorded = scalars("logs")
        self.assertEqual([0, 10], [*recorded["Entropy"]])
        self.assertEqual([0, 1, 10, 11], [*recorded["Validation_loss"]])
        np.testing.assert_allclose([*recorded["Validation_loss"].values()], losses(output, "Validation"), atol=1e-5)
        self.assertCountEqual([f"logs/model.ckpt-{step}.index" for step in (0, 1, 10, 11)], glob.glob("logs/*.index"))

    def test_curve_and_graph_lie_there_before_the_weights(self):
        """A kill between them would otherwise leave a model without its graph, and a gap in the curve."""
        save, there = tf.train.Saver.save, []

        def watching_save(saver, sess, path, global_step):
            there.append((os.path.exists(f"{path}-{global_step}.meta"), [*scalars("logs")["Validation_loss"]]))
            return save(saver, sess, path, global_step=global_step)

        with mock.patch.object(tf.train.Saver, "save", watching_save):
            self.assert_well(helpers.train("--max_iterations=2"))
        self.assertEqual([(True, [0]), (True, [0, 1])], there)


class EarlierRunTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_model()

    def test_with_dropout_a_resumed_run_draws_other_dropout(self):
        undisturbed = scalars("logs")["Entropy"][10]
        tf.train.update_checkpoint_state("logs", "model.ckpt-0")
        resumed, = losses(self.assert_well(helpers.train("--max_iterations=11")))
        self.assertGreater(abs(resumed - undisturbed), 1e-4)
        self.assertLess(abs(resumed - undisturbed), 0.2)

    def test_a_finished_run_changes_no_file(self):
        before = helpers.states("logs")
        output = self.assert_well(helpers.train("--max_iterations=31"))
        self.assertIn("The model is trained: 31 iterations are done. --max_iterations=131 ", output)
        self.assertEqual(before, helpers.states("logs"))

    def test_checkpoints_of_an_earlier_run_stay_here_and_where_this_folder_was_copied_from(self):
        """`checkpoint` there lists six, one more than a run keeps, by their full paths."""
        models = [os.path.abspath(f"logs/model.ckpt-{step}") for step in (30, 0, 1, 2, 3, 4)]
        for model in models[2:]:
            for ending in (".index", ".meta", ".data-00000-of-00001"):
                os.link(models[0] + ending, model + ending)
        tf.train.update_checkpoint_state("logs", models[0], models)
        shutil.copytree("logs", "copy", copy_function=os.link)
        before = helpers.states("logs")
        self.assertIn("Model Restored!", self.assert_well(helpers.train("--logs_dir=copy", "--max_iterations=32")))
        self.assertEqual(before, helpers.states("logs"))
        self.assertLessEqual({*os.listdir("logs"), "model.ckpt-31.index"}, {*os.listdir("copy")})

    @helpers.cases(0, -1)
    def test_a_model_is_not_trained_on_with_other_data_but_may_be_tested_on_it(self, place):
        before, path = helpers.states("logs"), f"{self.folder}/logs/model.ckpt-30"
        labels, pixels = helpers.faces(40)
        pixels[np.random.RandomState(0).permutation(40)[place], 2000] += 1  # of a validation or of a training face
        helpers.write_csv("data/train.csv", labels, pixels)
        self.assert_stated(helpers.train("--max_iterations=32"),
                           f"^Error: {path} was trained on other data: .*--logs_dir.*--data_dir")
        self.assertEqual(before, helpers.states("logs"))
        self.assert_stated(helpers.train("--mode=test"), f"^{path} was trained on other data than it is tested on", 0)

    def test_both_losses_of_all_runs_are_drawn_up_to_this_run_s_last_step(self):
        for path in [*glob.glob("logs/model.ckpt*"), "logs/checkpoint"]:
            os.remove(path)
        output = self.assert_well(helpers.train("--max_iterations=6"))
        time.sleep(1 - time.time() % 1)  # as above
        result, figures = drawn(helpers.train, "--max_iterations=10")
        output += self.assert_well(result)
        axes, = figures["loss.png"].axes
        names = ["training, dropout on", "validation, dropout off"]
        self.assertEqual(names, [line.get_label() for line in axes.lines])
        self.assertEqual(names, [text.get_text() for text in axes.get_legend().texts])
        self.assertEqual(["None", "o"], [line.get_marker() for line in axes.lines])
        self.assertEqual([[0], [0, 5, 9]], [[*line.get_xdata()] for line in axes.lines])
        for line, kind in zip(axes.lines, ("Training", "Validation")):
            np.testing.assert_allclose(losses(output, kind), line.get_ydata(), atol=1e-5)
        self.assertEqual(("step", "loss", "logs", 0), (
            axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), axes.get_ylim()[0]))

    def test_a_curve_that_a_kill_broke_off_is_read_to_there_and_another_program_s_is_none_of_ours(self):
        shutil.rmtree("logs")
        with tf.Graph().as_default(), tf.summary.FileWriter("logs") as writer:
            for tag in ("Validation_loss", "Entropy", "accuracy", "Reg_loss"):
                writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=7)]), 5)
        whole, = glob.glob("logs/*")
        os.rename(whole, "logs/events.out.tfevents.1")  # TensorFlow names them by the second
        os.truncate("logs/events.out.tfevents.1", os.path.getsize("logs/events.out.tfevents.1") - 5)
        result, figures = drawn(helpers.train, "--max_iterations=7")
        self.assert_well(result)
        self.assertEqual([[0], [0, 5, 6]], [[*line.get_xdata()] for line in figures["loss.png"].axes[0].lines])


class StoppedTest(helpers.TestCase):
    """What stops a run is stated, and the checkpoint before it stays."""

    def assert_stops(self, pattern):
        helpers.write_model()
        before = helpers.states("logs")
        self.assert_stated(helpers.train("--max_iterations=36"), f"^Error: {pattern}")
        self.assertLessEqual(before.items(), helpers.states("logs").items())
        self.assertFalse(os.path.exists("logs/model.ckpt-35.index"))
        self.assertEqual([], [thread for thread in threading.enumerate() if "EventLogger" in thread.name])

    @helpers.cases(np.inf, np.nan)
    def test_a_loss_that_is_no_number(self, loss):
        with mock.patch.object(EmotionDetector, "run_in_batches", return_value=loss):
            self.assert_stops("The loss is NaN or infinite after step 35: make LEARNING_RATE smaller.$")

    def test_divergence(self):
        with mock.patch.object(EmotionDetector, "LEARNING_RATE", 1e10):
            self.assert_stops("(Nan in summary histogram|The loss is NaN or infinite)")

    def test_a_full_disk(self):
        full = tf.errors.ResourceExhaustedError(None, None, "logs/model.ckpt-35.data; No space left on device\nat all")
        with mock.patch.object(tf.train.Saver, "save", side_effect=full):
            self.assert_stops("logs/model.ckpt-35.data; No space left on device.$")


class TestModeTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_model()

    def test_what_is_printed_drawn_and_written(self):
        labels, pixels = helpers.faces(14, seed=1)
        rows = [f"face {14 - row},{labels[row]},{' '.join(map(str, pixels[row]))}" for row in range(14)]
        helpers.write("data/test.csv", "\n".join(["Id,Emotion,Pixels", *rows]))
        before = {*os.listdir("logs")}
        result, figures = drawn(helpers.train, "--mode=test")
        output = self.assert_well(result)
        self.assertRegex(output, r"\nModel Restored!\nValidation Loss: \d\.\d{6}\nValidation Accuracy: .*\n"
                         "Always answering .*\nThe validation faces of each emotion, .*\n")
        self.assertIn("\nTest Accuracy: 1.000000\nThe test faces of each emotion, ", output)
        self.assertEqual([[emotion, "2", "2"] for emotion in helpers.EMOTIONS],
                         [line.split()[:3] for line in output.splitlines()[-7:]])
        accuracy = float(re.search("Validation Accuracy: (.*)", output)[1])
        self.assertEqual({"confusion_matrix.png": f"{4 * accuracy:.0f} of 4 validation faces are recognized",
                          "confusion_matrix_test.png": "14 of 14 test faces are recognized"},
                         {name: figure.axes[0].get_title() for name, figure in figures.items()})
        self.assertEqual({*figures, "predictions.csv"}, {*os.listdir("logs")} - before)
        with open("logs/predictions.csv", newline="") as file:
            header, *rows = csv.reader(file.read().split("\n")[:-1])
        self.assertEqual(["Id", "Emotion", *helpers.EMOTIONS], header)
        self.assertEqual([[f"face {14 - row}", str(labels[row])] for row in range(14)], [row[:2] for row in rows])
        probabilities = np.array([row[2:] for row in rows], float)
        np.testing.assert_allclose(1, probabilities.sum(axis=1), atol=1e-5)
        np.testing.assert_array_equal(labels, probabilities.argmax(axis=1))

    def test_no_test_set(self):
        os.remove("data/test.csv")
        output = self.assert_stated(helpers.train("--mode=test"), "^No test set: predictions.csv is not written", 0)
        self.assertIn("Test size: 0\n", output)
        self.assertFalse(os.path.exists("logs/predictions.csv"))

    def test_the_confusion_of_random_answers(self):
        """Against counts one by one: a row for the truth, a column for the answer; shaded by the share of each row."""
        rng = np.random.RandomState(2)
        labels = rng.choice([0, 1, 2, 3, 4, 6], 500, p=[0.4, 0.3, 0.2, 0.06, 0.03, 0.01])
        answers = np.where(rng.rand(500) < 0.6, labels, rng.choice([0, 1, 5], 500))
        probabilities = np.eye(7)[answers] + rng.rand(500, 7) / 2
        counts = [[sum((labels == row) & (answers == column)) for column in range(7)] for row in range(7)]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            _, figures = drawn(EmotionDetector.report_confusion, probabilities, labels, "test faces", "x.png")
        title, header, *lines = output.getvalue().splitlines()
        self.assertRegex(title, "^The test faces of each emotion, how many were recognized, and what they were")
        self.assertEqual(["faces", "correct", *helpers.EMOTIONS], header.split())
        self.assertEqual([[helpers.EMOTIONS[label], *map(str, [sum(row), row[label], *row])]
                          for label, row in enumerate(counts)], [line.split() for line in lines])
        self.assertEqual((700, 600), Image.open("x.png").size)
        axes, scale = figures["x.png"].axes
        shares = axes.images[0].get_array()
        np.testing.assert_allclose([[count / max(1, sum(row)) for count in row] for row in counts], shares)
        self.assertEqual(((0, 1), "upper"), (axes.images[0].get_clim(), axes.images[0].origin))
        self.assertEqual({(column, row): (str(counts[row][column]), "white" if shares[row, column] > 0.5 else "black")
                          for row in range(7) for column in range(7) if counts[row][column]},
                         {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts})
        for ticks in axes.get_xticklabels(), axes.get_yticklabels():
            self.assertEqual(helpers.EMOTIONS, [tick.get_text() for tick in ticks])
        self.assertEqual(("predicted", "emotion of the face", "share of the emotion's faces"),
                         (axes.get_xlabel(), axes.get_ylabel(), scale.get_ylabel()))
        self.assertEqual(f"{sum(labels == answers)} of 500 test faces are recognized", axes.get_title())
