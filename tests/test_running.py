"""The scripts as people run them: silence, signals, kills, closed pipes, notebooks, IDEs."""
import glob
import io
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import helpers
import tensorflow.compat.v1 as tf

import EmotionDetectorUtils

SCRIPTS = ("EmotionDetector.py", "EmotionDetectorTest.py", "EmotionDetectorUtils.py")


class ScriptsTest(helpers.TestCase):

    def setUp(self):
        super().setUp()
        helpers.write_data()
        helpers.write_pictures(helpers.faces(1)[1])
        self.enterContext(mock.patch.dict(os.environ))
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)

    def run_in_turn(self, **kwargs):
        """Train, test, classify, look at the data, in processes of their own."""
        for script, *args in (
                ("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", "--max_iterations=1"),
                ("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", "--mode=test"),
                ("EmotionDetectorTest.py", "--logs_dir=logs", "--figure=answer.png", "face00.png"),
                ("EmotionDetectorUtils.py", "--data_dir=data", "--figure=first.png")):
            yield helpers.finish(helpers.start_script(script, *args, **kwargs))

    def test_a_run_where_all_is_well_is_silent(self):
        """Even where a notebook names a drawing library that is not there."""
        os.environ["MPLBACKEND"] = "module://no_such_backend"
        outputs = [self.assert_well(result) for result in self.run_in_turn()]
        self.assertRegex(outputs[3], r"^train images shape =  \(36, 48, 48, 1\)\ntrain labels shape =  "
                         r"\(36, 7\)\ntest labels shape =  \(9, 48, 48, 1\)\nimage_0 shape =  "
                         r"\(48, 48, 1\)\nlabel set =  \[[01. ]{20}\]\n$")
        for name in ("first.png", "answer.png", "logs/loss.png", "logs/confusion_matrix.png"):
            self.assertGreaterEqual(min(helpers.picture_size(name)), 300)
        for script in SCRIPTS:
            self.assertIn("--", self.assert_well(helpers.finish(helpers.start_script(script, "--help"))))

    @unittest.skipIf(os.name == "nt", "a shell's way to close it")
    def test_with_standard_error_closed(self):
        script = os.path.join(helpers.ROOT, "EmotionDetector.py")
        command = f'"{sys.executable}" "{script}" --max_iterations=1 2>&-'  # on practice faces
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"  # so that TensorFlow does write
        output = subprocess.check_output(command, shell=True, text=True)
        self.assertNotIn("practising", output)  # a notice is none of standard output's lines
        for path in glob.glob("logs/**", recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    self.assertNotRegex(file.read(), rb"oneDNN|[IWE]0000 00:", path)

    def test_tensorflow_is_heard_where_the_user_wants_it(self):
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
        status, _, errors = next(self.run_in_turn())
        self.assertEqual(0, status)
        self.assertRegex(errors, r"(?m)^I0000 .*oneDNN|^\d{4}-.* I tensorflow")

    @helpers.parameterized.parameters(
        ("raise ImportError('no DLL')", "^from TensorFlow\nError: TensorFlow cannot be loaded .no DLL.: pip", 1),
        ("os.abort()", "^Fatal Python error: Aborted", -signal.SIGABRT))
    def test_tensorflow_that_does_not_load(self, end, pattern, expected):
        os.makedirs("fake/tensorflow")
        with open("fake/tensorflow/__init__.py", "w") as file:
            file.write(f"import os\nos.write(2, b'from TensorFlow\\n')\n{end}\n")
        os.environ["PYTHONPATH"] = os.path.abspath("fake")
        status, _, errors = next(self.run_in_turn())
        self.assertEqual(expected, status)
        self.assertRegex(errors, pattern)

    def test_a_window_that_cannot_be_opened(self):
        for backend in ("agg", "nonsense", "module://no_such_backend"):
            os.environ["MPLBACKEND"] = backend
            self.assert_stated(
                helpers.finish(helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data")),
                "^Error: matplotlib cannot open a window .*--figure=FILE.png")

    @unittest.skipUnless(hasattr(signal, "SIGPIPE"), "no such signal here")
    def test_a_reader_that_has_left(self):
        reader, pipe = os.pipe()
        os.close(reader)  # as `| head` does after its lines
        with open(pipe, "wb") as closed:
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data",
                                           "--figure=first.png", stdout=closed)
            self.assertEqual((-signal.SIGPIPE, None, ""), helpers.finish(process))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no full disk here")
    def test_a_full_disk_behind_standard_output(self):
        with open("/dev/full", "wb") as full:
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data",
                                           "--figure=first.png", stdout=full)
            self.assertEqual((1, None, "Error: Standard output: No space left on device.\n"),
                             helpers.finish(process))

    def test_a_second_run_in_one_process_and_a_standard_output_of_another_kind(self):
        """As IDLE's F5, Spyder and Jupyter's %run do it; flags start from their defaults again."""
        handler = signal.getsignal(signal.SIGINT)
        for name in EmotionDetectorUtils.FLAGS:
            self.addCleanup(lambda name: EmotionDetectorUtils.FLAGS[name].unparse(), name)
        data = ("--data_dir=data", "--max_iterations=2")
        for script, *args in (("EmotionDetector.py", *data), ("EmotionDetectorTest.py", "face00.png"),
                              ("EmotionDetector.py", *data, "--mode=test"),
                              ("EmotionDetectorUtils.py", "--data_dir=data", "--figure=first.png"),
                              ("EmotionDetector.py", *data, "--logs_dir=other")):
            path = os.path.join(helpers.ROOT, script)
            with (mock.patch.object(sys, "argv", [script, *args]),
                  mock.patch.object(sys, "stdout", io.StringIO()),
                  mock.patch.object(EmotionDetectorUtils, "INTERACTIVE", True),
                  mock.patch.object(sys, "ps1", ">", create=True),
                  self.assertRaises(SystemExit) as end):
                runpy.run_path(path, run_name="__main__")
            self.assertFalse(end.exception.code)
        self.assertIn("model.ckpt-1.index", os.listdir("other"))  # with --mode=train, the default
        self.assertIs(handler, signal.getsignal(signal.SIGINT))

    def test_a_notebook(self):
        """As the README has it: an import does nothing; eager TensorFlow stays as it was."""
        code = ("import sys, EmotionDetectorUtils; assert 'tensorflow' not in sys.modules\n"
                "import EmotionDetector; assert not EmotionDetector.FLAGS.is_parsed()\n"
                "EmotionDetector.FLAGS(['EmotionDetector', '--data_dir=data', '--max_iterations=1'])\n"
                "EmotionDetector.main()\nEmotionDetector.main()\n"
                "import EmotionDetectorTest, tensorflow as tf\n"
                "assert tf.executing_eagerly() and not tf.compat.v1.get_default_graph().get_operations()\n")
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                                env=os.environ | {"PYTHONPATH": helpers.ROOT})
        self.assertEqual(0, result.returncode, result.stderr)
        self.assertIn("Model Restored!\nThe model is trained", result.stdout)


@unittest.skipUnless(hasattr(signal, "SIGKILL"), "no such signals here")
class SignalTest(helpers.TestCase):

    def setUp(self):
        super().setUp()
        helpers.write_data()

    def start(self, *args):
        return helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", *args)

    def start_and_wait_for_a_step(self):
        process = self.start("--max_iterations=100000")
        for line in process.stdout:
            if "Validation Loss" in line:
                return process

    @helpers.parameterized.parameters("SIGINT", "SIGTERM", "SIGHUP")
    def test_while_training_the_step_is_saved(self, name):
        process = self.start_and_wait_for_a_step()
        process.send_signal(getattr(signal, name))
        status, _, errors = helpers.finish(process)
        self.assertEqual(-getattr(signal, name), status)  # 130 and the like, in a shell
        step = int(re.fullmatch(r"Step (\d+) is saved: [^\n]*\n", errors).group(1))
        self.assertEqual(step + 1, tf.train.load_variable(f"logs/model.ckpt-{step}", "Variable"))
        self.assertIn("Model Restored!", self.assert_well(helpers.train(f"--max_iterations={step + 2}")))

    def test_while_reading(self):
        os.remove("data/train.csv")
        os.mkfifo("data/train.csv")
        process = self.start()
        with open("data/train.csv", "w"):  # waits until it is opened, and keeps it waiting
            process.send_signal(signal.SIGINT)
            self.assertEqual((-signal.SIGINT, "", ""), helpers.finish(process))

    def test_ignored_as_nohup_does_it(self):
        process = subprocess.Popen(
            ["nohup", sys.executable, os.path.join(helpers.ROOT, "EmotionDetector.py"), "--data_dir=data",
             "--logs_dir=logs", "--max_iterations=31"], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        self.assert_well(helpers.finish(process))

    def test_kill_and_go_on(self):
        """Three kills at random moments; the last run's losses are those of an undisturbed one."""
        rng = random.Random(0)
        for _ in range(3):
            process = self.start_and_wait_for_a_step()
            time.sleep(rng.uniform(0, 1.5))
            process.kill()
            process.communicate()
        shutil.copytree("logs", "copy")
        step = tf.train.load_variable(tf.train.latest_checkpoint("logs"), "Variable")
        disturbed, undisturbed = (
            re.findall(r"Loss: (.*)", helpers.train(f"--logs_dir={folder}", f"--max_iterations={step + 41}")[1])
            for folder in ("logs", "copy"))
        self.assertGreaterEqual(len(disturbed), 4)
        self.assertEqual(disturbed, undisturbed)
