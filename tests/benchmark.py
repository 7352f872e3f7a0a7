"""What a reader waits for, and how much memory it takes: measured in one run.

    python tests/benchmark.py

takes three and a half minutes on two cores, prints a table, and marks the targets that are
missed. What is compared runs in turns, and medians count. Everything is measured in a
process of its own, which this script starts with the name of one of its functions.
"""
import json
import os
import pickle
import runpy
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KAGGLE = (4178, 1312)  # rows of train.csv and of test.csv
FER2013 = (28709, 7178)
BATCH_SIZE = 128
STEPS = 29  # the whole batches in the book's 3,761 training faces
SIZE = 2048  # rows and columns of the matrices that are multiplied


def step_gflop():
    """The arithmetic of one training step, layer by layer, in units of 1e9 operations.

    Each product of a weight and a value is a multiplication and an addition. A layer costs
    the same three times: its outputs, its kernel's gradient, and its inputs' gradient,
    which the first layer, whose inputs are the images, has no need of.
    """
    layers = {  # values made of one image * weights that each is made of, how many times
        "conv1": (48 * 48 * 32 * 5 * 5 * 1, 2),
        "conv2": (24 * 24 * 64 * 3 * 3 * 32, 3),
        "fc_1": (256 * 12 * 12 * 64, 3),
        "fc_2": (7 * 256, 3),
    }
    return {layer: 2 * BATCH_SIZE * products * times / 1e9
            for layer, (products, times) in layers.items()}


# Each of these runs in a process of its own. What it returns is printed as JSON.

def write_data(folder, train_count, test_count):
    """Write drawn faces as Kaggle writes its files."""
    import helpers

    import EmotionDetectorUtils

    labels, pixels = EmotionDetectorUtils.draw_faces(int(train_count), seed=0)
    helpers.write_csv(os.path.join(folder, "train.csv"), labels, pixels)
    _, pixels = EmotionDetectorUtils.draw_faces(int(test_count), seed=1)
    helpers.write_csv(os.path.join(folder, "test.csv"), None, pixels)


def write_images(folder, count):
    """Write drawn faces as PNG files 0.png ..."""
    from PIL import Image

    import EmotionDetectorUtils

    _, pixels = EmotionDetectorUtils.draw_faces(int(count), seed=2)
    for number, row in enumerate(pixels):
        Image.fromarray(row.reshape(48, 48)).save(os.path.join(folder, f"{number}.png"))


def reading(folder):
    """Seconds to read the data: first time, straightforwardly, from the cache, from a pickle."""
    import numpy as np
    import pandas as pd

    import EmotionDetectorUtils

    cache = os.path.join(folder, EmotionDetectorUtils.CACHE)
    pickled = os.path.join(folder, "data.pickle")

    def first():
        EmotionDetectorUtils.read_data(folder)

    def straightforward():
        arrays = []
        for name in ("train.csv", "test.csv"):
            table = pd.read_csv(os.path.join(folder, name)).dropna()
            rows = [np.fromstring(text, sep=" ") / 255.0 for text in table["Pixels"]]
            arrays.append(np.vstack(rows).reshape(-1, 48, 48, 1))
            if "Emotion" in table:
                arrays.append(np.eye(7)[table["Emotion"]])
        with open(pickled, "wb") as file:
            pickle.dump(arrays, file, pickle.HIGHEST_PROTOCOL)

    def unpickled():
        with open(pickled, "rb") as file:
            pickle.load(file)

    times = {}
    for _ in range(5):
        if os.path.exists(cache):
            os.remove(cache)
        for name, read in (("first", first), ("straightforward", straightforward),
                           ("cached", first), ("unpickled", unpickled)):
            times.setdefault(name, []).append(seconds(read))
    return {name: statistics.median(values) for name, values in times.items()}


def steps(data_dir, logs_dir):
    """Seconds of a step in the graph of a saved model, and of a matrix product, in turns."""
    import tensorflow.compat.v1 as tf

    import EmotionDetector
    import EmotionDetectorUtils

    images, labels = EmotionDetectorUtils.read_data(data_dir)[:2]
    path = EmotionDetector.newest_checkpoint(logs_dir)
    with tf.Graph().as_default(), tf.Session(config=EmotionDetector.SESSION_CONFIG) as sess:
        saver = tf.train.import_meta_graph(path + ".meta")
        saver.restore(sess, path)
        (train_op,) = tf.get_collection("train_op")
        factors = [tf.Variable(tf.random_uniform([SIZE, SIZE])) for _ in range(2)]
        product = tf.matmul(*factors).op
        sess.run([factor.initializer for factor in factors])

        def train(step):
            batch_image, batch_label = EmotionDetector.get_next_batch(images, labels, step)
            sess.run(train_op, {"input:0": batch_image, "Placeholder:0": batch_label,
                                "dropout_prob:0": EmotionDetector.DROPOUT_PROB})

        times = {"step": [], "product": []}
        for turn in range(6):
            times["step"] += [seconds(train, 10 * turn + step) for step in range(10)]
            times["product"] += [seconds(sess.run, product) for _ in range(10)]
    # The first turn warms up
    return {name: statistics.median(values[10:]) for name, values in times.items()}


def keras_steps(data_dir):
    """Seconds of a step of the same network, optimizer and batch in Keras' `fit`."""
    import keras

    import EmotionDetector
    import EmotionDetectorUtils

    images, labels = (array[:STEPS * BATCH_SIZE]
                      for array in EmotionDetectorUtils.read_data(data_dir)[:2])
    # Keras' L2 has no half in it
    squares = keras.regularizers.L2(EmotionDetector.REGULARIZATION / 2)
    weights = {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02)}
    convolution = {"padding": "same", "activation": "relu",
                   "kernel_regularizer": squares, "bias_regularizer": squares} | weights
    model = keras.Sequential([
        keras.layers.Input((48, 48, 1)),
        keras.layers.Conv2D(32, 5, **convolution), keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, **convolution), keras.layers.MaxPooling2D(),
        keras.layers.Flatten(), keras.layers.Dense(256, activation="relu", **weights),
        keras.layers.Dropout(0.5), keras.layers.Dense(7, **weights)])
    model.compile(keras.optimizers.Adam(EmotionDetector.LEARNING_RATE, epsilon=1e-8),
                  keras.losses.CategoricalCrossentropy(from_logits=True))

    def fit(epochs):
        model.fit(images, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)

    fit(1)  # builds the graph
    return {"step": seconds(fit, 3) / (3 * STEPS)}


def whole_job(*args):
    """Run EmotionDetector.py; return how long its training steps took together."""
    import EmotionDetectorUtils

    EmotionDetectorUtils.before_tensorflow()  # as the script does before it loads TensorFlow
    import tensorflow.compat.v1 as tf

    spent, run = [], tf.Session.run

    def timed_run(sess, fetches, *args, **kwargs):
        start = time.perf_counter()
        result = run(sess, fetches, *args, **kwargs)
        if getattr(fetches, "name", None) == "Adam":
            spent.append(time.perf_counter() - start)
        return result

    tf.Session.run = timed_run
    sys.argv = ["EmotionDetector.py", *args]
    try:
        runpy.run_path(os.path.join(ROOT, "EmotionDetector.py"), run_name="__main__")
    except SystemExit as end:
        assert not end.code
    return {"steps": sum(spent), "count": len(spent)}


# This process only starts the others, and stays small: their peak of memory counts from its own.

def seconds(function, *args):
    """How long a call takes."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def measure(*command):
    """Run a Python command line.

    Returns:
        Its standard output, its wall time in seconds and its peak resident size in MB.
    """
    environment = os.environ | {"PYTHONPATH": ROOT}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=errors,
                                   env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{errors.read()}")
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return output.read(), wall, usage.ru_maxrss * unit / 1e6


def call(function, *args):
    """Run one of the functions above in a process of its own.

    Returns:
        What it returns, and the wall time of the process in seconds.
    """
    output, wall, _ = measure(os.path.abspath(__file__), function.__name__, *map(str, args))
    return json.loads(output.splitlines()[-1]), wall


def script(name, *args):
    """The command line of one of the three scripts."""
    return os.path.join(ROOT, name), *args


def measure_reading(folder):
    call(write_data, folder, *KAGGLE)
    times, _ = call(reading, folder)
    yield ("reading 5,490 faces, first time / the straightforward way", times["first"],
           times["straightforward"], "s", "at most", 0.4)
    yield ("reading them from the cache / from its pickle", times["cached"], times["unpickled"],
           "s", "at most", 2.0)
    yield "reading them from the cache", times["cached"], None, "s", "at most", 0.3


def measure_training(data_dir, logs_dir):
    measure(*script("EmotionDetector.py", f"--data_dir={data_dir}", f"--logs_dir={logs_dir}",
                    "--max_iterations=1"))
    ours, keras = [], []
    for _ in range(3):
        ours.append(call(steps, data_dir, logs_dir)[0])
        keras.append(call(keras_steps, data_dir)[0]["step"])
    step = statistics.median(times["step"] for times in ours)
    product = statistics.median(times["product"] for times in ours)
    gflop = step_gflop()
    speed = 2 * SIZE ** 3 / product / 1e9
    print(f"A training step of {BATCH_SIZE} images is",
          " + ".join(f"{value:.3f} ({layer})" for layer, value in gflop.items()),
          f"= {sum(gflop.values()):.1f} GFLOP; a product of {SIZE}x{SIZE} matrices runs at "
          f"{speed:.0f} GFLOP/s.")
    yield ("training, images per second / Keras `fit`", BATCH_SIZE / step,
           BATCH_SIZE / statistics.median(keras), "images/s", "at least", 1.4)
    yield ("a training step / the matrix product of as many GFLOP", 1000 * step,
           1000 * sum(gflop.values()) / speed, "ms", "at most", 1.6)


def measure_whole_job(data_dir, logs_dir):
    spent, wall = call(whole_job, "--mode=train", f"--data_dir={data_dir}",
                       f"--logs_dir={logs_dir}")
    yield (f"the whole job of {spent['count']:,} steps: what is not in them / wall time",
           wall - spent["steps"], wall, "s", "at most", 0.25)


def measure_classifying(folder, logs_dir):
    call(write_images, folder, 1000)
    images = [os.path.join(folder, f"{number}.png") for number in range(1000)]
    commands = {"one": script("EmotionDetectorTest.py", f"--logs_dir={logs_dir}", images[0]),
                "bare": ("-c", "import tensorflow"),
                "all": script("EmotionDetectorTest.py", f"--logs_dir={logs_dir}", *images)}
    times = {name: [] for name in commands}
    for _ in range(5):
        for name, command in commands.items():
            times[name].append(measure(*command)[1])
    one, bare, all_images = (statistics.median(times[name]) for name in commands)
    yield "classifying one image / a bare `import tensorflow`", one, bare, "s", "at most", 1.2
    yield "classifying 1,000 images / one image", all_images, one, "s", "at most", 2.0


def measure_memory(kaggle, fer2013, folder):
    call(write_data, fer2013, *FER2013)
    peaks = []
    for data_dir, counts, target in ((kaggle, KAGGLE, 900), (fer2013, FER2013, 1300)):
        cache = os.path.join(data_dir, "EmotionDetectorData.npz")
        if os.path.exists(cache):
            os.remove(cache)
        for source in ("the CSV files", "the cache"):
            logs_dir = tempfile.mkdtemp(dir=folder)
            peak = measure(*script("EmotionDetector.py", f"--data_dir={data_dir}",
                                   f"--logs_dir={logs_dir}", "--max_iterations=101"))[2]
            peaks.append(peak)
            yield (f"peak memory in training, {counts[0]:,} + {counts[1]:,} rows from {source}",
                   peak, None, "MB", "at most", target)
    growth = [(large - small) * 1000 / (sum(FER2013) - sum(KAGGLE))
              for small, large in zip(peaks[:2], peaks[2:])]
    for source, kilobytes in zip(("the CSV files", "the cache"), growth):
        yield f"growth per image, from {source}", kilobytes, None, "KB", "at most", 12


def show(value):
    """A number as the table has it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main():
    """Measure everything and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        kaggle, fer2013, images, logs = (os.path.join(folder, name)
                                         for name in ("kaggle", "fer2013", "images", "logs"))
        for name in (kaggle, fer2013, images):
            os.mkdir(name)
        rows = [*measure_reading(kaggle), *measure_training(kaggle, logs),
                *measure_whole_job(kaggle, logs + "_whole"),
                *measure_classifying(images, logs + "_whole"),
                *measure_memory(kaggle, fer2013, folder)]
    print("\n| figure | ours | the other | ratio | target | |\n|---|---|---|---|---|---|")
    for figure, ours, other, unit, bound, target in rows:
        value = ours / other if other else ours
        met = value <= target if bound == "at most" else value >= target
        print(f"| {figure} | {show(ours)} {unit}",
              f"| {show(other)} {unit} | {value:.2f}" if other else "| |",
              f"| {bound} {target:,}" + ("" if other else f" {unit}"),
              "|" if met else "| missed", "|")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
