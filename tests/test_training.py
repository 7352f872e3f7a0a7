"""EmotionDetector.py --mode=train through its main: lines, files, resuming, usage."""
import glob
import os
import re
import shutil
import unittest

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from absl.testing import parameterized

import EmotionDetector


def train(*args):
    """Train in ./logs on the data in ./data."""
    return helpers.run_script(EmotionDetector, "--data_dir=data", "--logs_dir=logs", *args)


def losses(output, kind="Training"):
    """The losses of the printed lines of a kind."""
    return [float(loss) for loss in re.findall(kind + r" Loss: ([-\d.naif]+)$", output, re.MULTILINE)]


def scalars(folder):
    """The scalars of a folder's event files: {tag: {step: value}}."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/events.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


class TrainingTest(helpers.TestCase, parameterized.TestCase):

    def test_a_short_run(self):
        helpers.write_data("data")
        status, output, errors = train("--max_iterations=106")
        self.assertEqual((0, ""), (status, errors))
        lines = output.splitlines()
        self.assertEqual(["Train size: 36", "Validation size: 4", "Test size: 9"], lines[:3])
        self.assertRegex(output, r"\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} Validation Loss: 1\.9")
        training = losses(output)
        self.assertEqual((11, 2), (len(training), len(losses(output, "Validation"))))
        self.assertLess(training[-1], training[0] / 2)
        self.assertRegex(lines[-2], r"^Validation Accuracy: [01]\.\d{6}$")
        self.assertRegex(lines[-1], r"^Always answering \w+: [01]\.\d{6}$")

        self.assertEqual({f"model.ckpt-{step}.{suffix}" for step in (0, 100, 105)
                          for suffix in ("index", "meta", "data-00000-of-00001")},
                         {os.path.basename(path) for path in glob.glob("logs/model.ckpt*")})
        recorded = scalars("logs")
        self.assertEqual(list(range(0, 106, 10)), sorted(recorded["Entropy"]))
        total = [recorded["Entropy"][step] + 0.01 * recorded["Reg_loss"][step]
                 for step in range(0, 106, 10)]
        np.testing.assert_allclose(total, training, atol=1e-5)
        self.assertEqual(8, sum(tag.split("/")[-1][:2] in ("W_", "b_") for tag in recorded))

    def test_resuming_goes_on_from_the_saved_step(self):
        helpers.write_data("data")
        train("--max_iterations=6")
        status, output, _ = train("--max_iterations=21")
        self.assertEqual(0, status)
        self.assertIn("Model Restored!\n", output)
        self.assertEqual(2, len(losses(output)))  # steps 10 and 20
        self.assertEqual(21, tf.train.load_variable("logs/model.ckpt-20", "Variable"))

        before = helpers.contents("logs")
        status, output, _ = train("--max_iterations=21")
        self.assertEqual(0, status)
        self.assertIn("21 iterations are done", output)
        self.assertIn("--max_iterations", output)
        self.assertEqual(before, helpers.contents("logs"))

    def test_a_copied_folder_goes_on_and_leaves_the_first_alone(self):
        helpers.write_data("data")
        logs = os.path.abspath("logs")  # a full path, as `checkpoint` then holds it
        for iterations in range(1, 7):  # one checkpoint more than are kept
            train(f"--logs_dir={logs}", f"--max_iterations={iterations}")
        before = helpers.contents("logs")
        shutil.copytree("logs", "copy")
        self.assertEqual(0, train("--logs_dir=copy", "--max_iterations=7")[0])
        self.assertEqual(before, helpers.contents("logs"))
        for folder, steps in (("logs", range(1, 6)), ("copy", range(2, 7))):
            self.assertEqual([f"model.ckpt-{step}.index" for step in steps],
                             [name for name in helpers.names(folder) if name.endswith("index")])

    def test_two_runs_print_the_same_losses(self):
        helpers.write_data("data", count=150)
        first, second = (helpers.run_script(EmotionDetector, "--data_dir=data",
                                            f"--logs_dir={folder}", "--max_iterations=21")[1]
                         for folder in ("one", "two"))
        self.assertEqual(losses(first), losses(second))
        self.assertEqual(losses(first, "Validation"), losses(second, "Validation"))

    def test_another_data_set_is_refused(self):
        helpers.write_data("data")
        train("--max_iterations=1")
        before = helpers.contents("logs")
        helpers.write_data("data", count=41)
        status, _, errors = train("--max_iterations=2")
        self.assertEqual(1, status)
        self.assertRegex(errors, r"^Error: logs/model.ckpt-0 was trained on other data: .*--logs_dir")
        self.assertEqual(before, helpers.contents("logs"))

    def test_without_data_the_default_folder_gives_practice_faces(self):
        status, output, errors = helpers.run_script(
            EmotionDetector, "--logs_dir=logs", "--max_iterations=1")
        self.assertEqual(0, status)
        self.assertIn("Train size: 3761\nValidation size: 417\nTest size: 1312\n", output)
        self.assertRegex(errors, "practising on drawn faces.*https://")

    @parameterized.parameters("EmotionDetector/", "EmotionDetector", "elsewhere")
    def test_a_named_folder_never_falls_back(self, folder):
        status, output, errors = helpers.run_script(
            EmotionDetector, f"--data_dir={folder}", "--logs_dir=logs")
        self.assertEqual((1, ""), (status, output))
        self.assertIn(os.path.join(os.getcwd(), folder, "train.csv"), errors)
        self.assertIn("https://", errors)
        self.assertFalse(os.path.exists("logs"))

    @parameterized.parameters("--mode=tets", "--max_iterations=0", "--max_iteration=5",
                              "--max_iterations=many", "train")
    def test_wrong_usage(self, argument):
        status, output, errors = train(argument)
        self.assertIn(status, (1, 2))
        self.assertNotIn("Train size", output)
        self.assertNotIn("Traceback", errors)
        self.assertFalse(os.path.exists("logs"))


if __name__ == "__main__":
    unittest.main()
