"""The scripts as people run them: silence, Ctrl-C, kills, closed pipes, notebooks, libraries that fail."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from unittest import mock

import helpers
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt
from PIL import Image

import EmotionDetectorUtils

# Prints what a call changes of its process and its environment.
PROBE = """
import gc, json, logging, os, signal, sys, warnings
{first}
import EmotionDetectorUtils as utils
def process():
    return {{"SIGINT": str(signal.getsignal(signal.SIGINT)), "SIGPIPE": str(signal.getsignal(signal.SIGPIPE)),
             "ignoring": ("ignore", None, Warning, None, 0) in warnings.filters,
             "matplotlib": logging.getLogger("matplotlib").level, "frozen": gc.get_freeze_count() > 0,
             "collecting": gc.isenabled(), "errors": sys.stdout.errors, "keras": "keras" in sys.modules, **os.environ}}
before = process()
{call}
after = process()
print(json.dumps({{name: after.get(name) for name in before | after if before.get(name) != after.get(name)}}))
"""
FOREIGN = ("TF2_BEHAVIOR", "TPU_", "KMP_", "HDF5_", "ENABLE_RUNTIME_UPTIME")  # what TensorFlow itself sets


def run_python(code, *args, **environment):
    """Run a program with the project importable; as `helpers.finish`."""
    environment = helpers.ENVIRONMENT | {"PYTHONPATH": helpers.ROOT} | environment
    result = subprocess.run([sys.executable, *args, "-c", code], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, env=environment, check=False)
    return result.returncode, result.stdout, result.stderr


class ScriptsTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_data(count=20)

    def start_training(self, *args, **kwargs):
        return helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs", *args, **kwargs)

    def start_looking(self, *args, **environment):
        return helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data", *args, environment=environment)

    def test_where_all_is_well_they_are_silent_and_two_runs_print_the_same_losses(self):
        """Even where a notebook hands down a drawing library that is not there, and matplotlib starts anew."""
        environment = {"MPLBACKEND": "module://no_such_backend"}
        trainings = [self.start_training("--max_iterations=3", f"--logs_dir={logs}", environment=environment)
                     for logs in ("logs", "other")]
        looking = self.start_looking("--figure=first.png", MPLCONFIGDIR=self.folder, **environment)
        outputs = [re.sub(r"\n\S+ \S+ V", "\nV", self.assert_well(helpers.finish(process))) for process in trainings]
        self.assertEqual((outputs[0], 2), (outputs[1], outputs[0].count("Validation Loss")))
        judging = self.start_training("--mode=test")
        classifying = helpers.start_script(
            "EmotionDetectorTest.py", "--logs_dir=logs", "--figure=answer.png",
            *helpers.write_pictures(helpers.faces(1)[1]), environment=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"})
        self.assertRegex(self.assert_well(helpers.finish(looking)),
                         r"^train images shape =  \(18, 48, 48, 1\)\ntrain labels shape =  \(18, 7\)\n"
                         r"test labels shape =  \(9, 48, 48, 1\)\nimage_0 shape =  \(48, 48, 1\)\n"
                         r"label set =  \[[01. ]{20}\]\n$")
        for process in judging, classifying:
            self.assert_well(helpers.finish(process))
        for name in ("first.png", "answer.png", "other/loss.png", "logs/confusion_matrix.png"):
            self.assertGreaterEqual(min(Image.open(name).size), 300)

    @helpers.cases(
        ("tensorflow", "os.write(2, b'its words'); raise ImportError('no\\nDLL')", 1, "^Error: no DLL: pip .*LEVEL=0"),
        ("tensorflow", "os.abort()", -signal.SIGABRT, "^Fatal Python error: Aborted"),
        ("pandas", "raise ImportError('needs:\\n no DLL')", 1, "^Error: needs: no DLL.$"))
    def test_a_library_that_does_not_load(self, name, end, expected, pattern):
        helpers.write(f"{name}/__init__.py", f"import os\n{end}\n")
        process = (self.start_looking("--figure=x", PYTHONPATH=self.folder) if name == "pandas" else
                   self.start_training(environment={"PYTHONPATH": self.folder}))
        status, _, errors = helpers.finish(process)
        self.assertEqual(expected, status)
        self.assertRegex(errors, pattern)

    def test_where_the_environment_is_not_active_its_python_is_named(self):
        shutil.copy(os.path.join(helpers.ROOT, "EmotionDetectorUtils.py"), ".")
        for advice in "pip install -r requirements.txt.", f"start the program with {self.folder}/.venv/bin/python.":
            python = os.path.realpath(sys.executable)  # without what is installed for this one
            result = subprocess.run([python, "-S", "EmotionDetectorUtils.py"], stderr=-1, text=True, check=False)
            self.assertRegex(result.stderr, f"^Error: No module named .* in .*: {advice}\n$")
            helpers.write(".venv/bin/python", "")

    @helpers.cases("agg", "module://matplotlib.backends.backend_ps")
    def test_a_window_that_cannot_be_opened(self, backend):
        self.assert_stated(helpers.finish(self.start_looking(MPLBACKEND=backend)),
                           "^Error: matplotlib cannot open a window [(][^)]+.*--figure=FILE.png")

    @mock.patch("matplotlib.pyplot.figure")
    def test_a_window_that_can_be_opened_waits(self, figure):
        """A closed figure no longer says which toolkit it was of."""
        canvas = figure.return_value.canvas = mock.Mock(required_interactive_framework="tk")
        with plt.ion(), mock.patch("matplotlib.pyplot.close", side_effect=lambda *_: canvas.configure_mock(
                required_interactive_framework=None)):
            self.assertIs(plt, EmotionDetectorUtils.open_pyplot())
            self.assertFalse(plt.isinteractive())


class ProcessTest(helpers.TestCase):
    """What a script sets of its process, what stays as the user has it, and that a notebook's stays whole."""

    def probe(self, call, *args, first="", **environment):
        """What a call changes, and what it writes on standard error."""
        status, output, errors = run_python(PROBE.format(first=first, call=call), *args, **environment)
        self.assertEqual(0, status, errors)
        return {name: value for name, value in json.loads(output).items() if not name.startswith(FOREIGN)}, errors

    def test_what_a_script_sets(self):
        first = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # in the background it may be ignored
        changed, errors = self.probe("utils.prepare_script()", first=first, MPLBACKEND="module://x")
        default = str(signal.SIG_DFL)
        changed.pop("TF_DETERMINISTIC_OPS", None)  # with a GPU
        self.assertEqual({"SIGINT": default, "SIGPIPE": default, "ignoring": True, "frozen": True, "matplotlib": 40,
                          "errors": "backslashreplace", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1",
                          "NVIDIA_TF32_OVERRIDE": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "true", "MPLBACKEND": None},
                         changed)
        self.assertEqual("", errors)

    @helpers.cases((["/dev/nvidiactl"], "1"), (["/dev/dxg"], "1"), ([], None))
    def test_determinism_is_set_where_a_gpu_s_driver_is_there(self, devices, expected):
        code = f"utils.os.path.exists = lambda path: path in {devices}\nutils.prepare_script(tensorflow=False)"
        self.assertEqual(expected, self.probe(code)[0].get("TF_DETERMINISTIC_OPS"))

    def test_what_the_user_has_set_stays(self):
        names = ("TF_ENABLE_ONEDNN_OPTS", "NVIDIA_TF32_OVERRIDE", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_DETERMINISTIC_OPS",
                 "TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
        changed, errors = self.probe("utils.prepare_script()", "-Wdefault", MPLBACKEND="agg",
                                     first="signal.signal(signal.SIGINT, signal.SIG_IGN)", **dict.fromkeys(names, "0"))
        self.assertEqual({"SIGPIPE", "frozen", "matplotlib", "errors", "keras"}, set(changed))
        self.assertRegex(errors, r"(?m)^[IW]0000 |^\d{4}-.* [IW] tensorflow")

    @helpers.cases(("sys.ps1 = '>'", ()), ("", ("-i",)))
    def test_a_notebook_s_or_an_interactive_python_s_process_stays_as_it_is(self, first, args):
        self.assertEqual({}, self.probe("utils.prepare_script(tensorflow=False)", *args, first=first)[0])

    def test_a_notebook(self):
        """As the README has it: an import does nothing, eager TensorFlow stays as it was; %run before and after it."""
        helpers.write_data(count=20)
        helpers.write_pictures(helpers.faces(1)[1])
        status, output, errors = run_python(
            "import io, runpy, sys, EmotionDetectorUtils as utils; assert 'tensorflow' not in sys.modules\n"
            "def run(name, *args):\n"
            "    sys.argv = [name, *args]\n"
            f"    try: runpy.run_path(f'{helpers.ROOT}/{{name}}.py', run_name='__main__')\n"
            "    except SystemExit as end: assert not end.code, end.code\n"
            "sys.ps1, utils.INTERACTIVE = '>', True\n"
            "run('EmotionDetector', '--data_dir=data', '--max_iterations=1')\n"
            "import EmotionDetector, EmotionDetectorTest, tensorflow as tf\n"
            "EmotionDetector.FLAGS(['EmotionDetector', '--data_dir=data', '--max_iterations=1'])\n"
            "EmotionDetector.main()\n"
            "assert tf.executing_eagerly() and not tf.compat.v1.get_default_graph().get_operations()\n"
            "assert tf.compat.v1.logging.get_verbosity() < tf.compat.v1.logging.ERROR\n"
            "assert EmotionDetectorTest.main(['', 'face00.png']) == 0\n"
            "run('EmotionDetectorTest', 'face00.png')  # with --logs_dir's default\n"
            "run('EmotionDetector', '--data_dir=data', '--mode=test')\n"
            "run('EmotionDetector', '--data_dir=data', '--max_iterations=2')  # with --mode's\n")
        self.assertEqual(0, status, errors)
        self.assertRegex(output, "Restored!\nThe model is trained(.*\n)+face00.png: (.*\n)+face00.png: (.*\n)+The val")
        self.assertIn("model.ckpt-1.index", os.listdir("logs/EmotionDetector_logs"))


class EndedTest(helpers.TestCase):
    """Ctrl-C, a reader that has gone and a kill end a script as they end every command; the same command goes on."""

    def setUp(self):
        super().setUp()
        helpers.write_data(count=20)

    def start_training(self, **kwargs):
        """Start a training, and wait until it has saved its first step, however long that takes."""
        process = helpers.start_script("EmotionDetector.py", "--data_dir=data", "--logs_dir=logs",
                                       "--max_iterations=100000", **kwargs)
        self.addCleanup(process.kill)
        end = time.time() + 100
        while not os.path.exists("logs/checkpoint") and time.time() < end:
            time.sleep(0.05)
        return process

    def test_ctrl_c_while_training(self):
        process = self.start_training()
        process.send_signal(signal.SIGINT)
        self.assertEqual((-signal.SIGINT, ""), helpers.finish(process)[::2])  # 130 in a shell

    def test_a_reader_that_has_gone(self):
        reader, pipe = os.pipe()
        os.close(reader)  # as `| head` does after its lines
        with open(pipe, "wb") as closed:
            process = helpers.start_script("EmotionDetectorUtils.py", "--data_dir=data", "--figure=x", stdout=closed)
            self.assertEqual((-signal.SIGPIPE, None, ""), helpers.finish(process))

    def test_after_a_kill_the_log_is_there_and_the_same_command_goes_on(self):
        with open("log", "w") as log:
            process = self.start_training(stdout=log)
        time.sleep(random.uniform(0, 0.5))
        process.kill()
        process.communicate()
        with open("log") as log:
            self.assertIn(" Validation Loss: ", log.read())
        step = tf.train.load_variable(tf.train.latest_checkpoint("logs"), "Variable")
        self.assertIn("Model Restored!", self.assert_well(helpers.train(f"--max_iterations={step + 1}")))
        self.assertEqual(step + 1, tf.train.load_variable(f"logs/model.ckpt-{step}", "Variable"))
