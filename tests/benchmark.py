"""What a reader waits for, and how much memory it takes: measured in one run.

    python tests/benchmark.py

takes five minutes on two cores, prints a table, and marks the targets that are missed.
Everything is measured in a process of its own, which this script starts with the name of one
of its functions; what is compared runs in turns, and medians count. On two cores of an Intel
Xeon, Python 3.11, TensorFlow 2.21, no GPU:

                                                 target           AVX2 alone      AVX-512
    reading 5,490 faces / straightforwardly      at most 0.5      0.36            0.34
    images per second / Keras `fit`              at least 1.6     2.09 (1,586)    1.41 (2,139), missed
    a step / the product of 10.9 GFLOP           at most 1.7      1.75, missed    1.96 (60 ms), missed
    1,001 steps / the straightforward port       0.65 / 0.9       0.58 (109 s)    0.96 (75 s), missed
    whole job not spent in training steps        at most 0.25     0.15            0.21
    classifying one image / the bare import      at most 0.6      0.56            0.52 (1.7 s)
    peak memory at 5,490 / 35,887 faces, MB      900 / 1,300      878 / 1,156     884 / 1,190

"AVX2 alone" is such a machine under ONEDNN_MAX_CPU_ISA=AVX2, measured earlier, where the others run
without oneDNN, as TensorFlow sets itself on such a processor. The misses: with AVX-512 TensorFlow
switches oneDNN on by itself, so the others have it, too; a step's pooling, ReLU and Adam wait for
memory, which weighs more the faster a processor multiplies; and the book's histogram of 2,359,296
weights, run every ten steps, costs both programs the same.
"""
import json
import os
import platform
import re
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
IMITATED = os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2"
SIZE = 2048  # rows and columns of the matrices that are multiplied
# Operations of a step: twice the products of a layer's output values with the weights that
# each is made of; once for the outputs, once for the gradient of the weights, and, but for
# the first layer, once for that of the inputs.
GFLOP = 2e-9 * BATCH_SIZE * (2 * 48 * 48 * 32 * 5 * 5 * 1 + 3 * 24 * 24 * 64 * 3 * 3 * 32
                             + 3 * 256 * 12 * 12 * 64 + 3 * 7 * 256)


# Each of these runs in a process of its own. What it returns is printed as JSON.

def write_data(folder, train_count, test_count):
    """Write drawn faces as Kaggle writes its files."""
    import EmotionDetectorUtils

    for name, count, seed in (("train.csv", train_count, 0), ("test.csv", test_count, 1)):
        with open(os.path.join(folder, name), "w") as file:
            print("Emotion,Pixels", file=file)
            for label, row in zip(*EmotionDetectorUtils.draw_faces(int(count), seed)):
                print(f'{label},"{" ".join(map(str, row.tolist()))}"', file=file)


def read_straightforwardly(folder):
    """Read the data as one does it first: pandas, NumPy, nothing checked."""
    import numpy as np
    import pandas as pd

    train, test = (pd.read_csv(os.path.join(folder, name)) for name in ("train.csv", "test.csv"))
    images, test_images = (
        np.vstack([np.fromstring(text, sep=" ") / 255.0 for text in table["Pixels"]])
        .reshape(-1, 48, 48, 1) for table in (train, test))
    labels = np.eye(7)[train["Emotion"]]
    order = np.random.permutation(len(images))
    valid, train = np.split(order, [len(order) // 10])
    return images[train], labels[train], images[valid], labels[valid], test_images


def reading(folder):
    """Seconds to read the data: ours, and the straightforward way."""
    import EmotionDetectorUtils

    times = {}
    for _ in range(5):
        for name, read in (("ours", EmotionDetectorUtils.read_data), ("other", read_straightforwardly)):
            times.setdefault(name, []).append(seconds(read, folder))
    return {name: statistics.median(values) for name, values in times.items()}


def steps(data_dir, logs_dir):
    """Seconds of a step in the graph of a saved model, and of a matrix product, in turns."""
    import EmotionDetectorUtils

    EmotionDetectorUtils.load_tensorflow()
    import tensorflow.compat.v1 as tf

    import EmotionDetector

    images, labels = EmotionDetectorUtils.read_data(data_dir)[:2]
    path = tf.train.latest_checkpoint(logs_dir)
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.train.import_meta_graph(path + ".meta").restore(sess, path)
        train_op, = tf.get_collection("train_op")
        factors = [tf.Variable(tf.random_uniform([SIZE, SIZE])) for _ in range(2)]
        product = tf.matmul(*factors).op
        sess.run([factor.initializer for factor in factors])

        def train(step):
            batch_image, batch_label = EmotionDetector.get_next_batch(images, labels, step)
            sess.run(train_op, {"input:0": batch_image, "Placeholder:0": batch_label,
                                "dropout_prob:0": 0.5})

        times = {"step": [], "product": []}
        for turn in range(6):
            times["step"] += [seconds(train, 10 * turn + step) for step in range(10)]
            times["product"] += [seconds(sess.run, product) for _ in range(10)]
    # The first turn warms up; the best product is what the machine can do
    return {"step": statistics.median(times["step"][10:]), "product": min(times["product"][10:])}


def keras_steps(data_dir):
    """Seconds of a step of the same network, optimizer and batch in Keras' `fit` as it comes."""
    import keras

    import EmotionDetectorUtils

    images, labels = (array[:STEPS * BATCH_SIZE]
                      for array in EmotionDetectorUtils.read_data(data_dir)[:2])
    squares = keras.regularizers.L2(1e-2 / 2)  # Keras' L2 has no half in it
    weights = {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02)}
    convolution = {"padding": "same", "activation": "relu",
                   "kernel_regularizer": squares, "bias_regularizer": squares} | weights
    model = keras.Sequential([
        keras.layers.Input((48, 48, 1)),
        keras.layers.Conv2D(32, 5, **convolution), keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(64, 3, **convolution), keras.layers.MaxPooling2D(),
        keras.layers.Flatten(), keras.layers.Dense(256, activation="relu", **weights),
        keras.layers.Dropout(0.5), keras.layers.Dense(7, **weights)])
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8),
                  keras.losses.CategoricalCrossentropy(from_logits=True))

    def fit(epochs):
        model.fit(images, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)

    fit(1)  # builds the graph
    return {"step": seconds(fit, 3) / (3 * STEPS)}


def whole_job(data_dir, logs_dir):
    """Run EmotionDetector.py as a script; return the seconds of its training steps."""
    import EmotionDetectorUtils

    EmotionDetectorUtils.load_tensorflow()
    import tensorflow.compat.v1 as tf

    spent, run = [], tf.Session.run

    def timed_run(sess, fetches, *args, **kwargs):
        start = time.perf_counter()
        result = run(sess, fetches, *args, **kwargs)
        if getattr(fetches, "name", None) == "Adam":
            spent.append(time.perf_counter() - start)
        return result

    tf.Session.run = timed_run
    sys.argv = ["EmotionDetector.py", f"--data_dir={data_dir}", f"--logs_dir={logs_dir}"]
    try:
        runpy.run_path(os.path.join(ROOT, "EmotionDetector.py"), run_name="__main__")
    except SystemExit as end:
        assert not end.code
    return {"steps": sum(spent), "count": len(spent)}


def straightforward_port(data_dir, logs_dir):
    """Run the chapter's program as one ports it first: its statements, TensorFlow as it comes."""
    import tensorflow.compat.v1 as tf

    import EmotionDetector as page

    tf.disable_v2_behavior()
    images, labels, valid_images, valid_labels, _ = read_straightforwardly(data_dir)
    input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
    input_labels = tf.placeholder(tf.float32, [None, 7])
    global_step = tf.Variable(0, trainable=False)
    loss_val = page.loss(page.emotion_cnn(input_dataset, 0.5), input_labels)
    train_op = tf.train.AdamOptimizer(page.LEARNING_RATE).minimize(loss_val, global_step)
    summary_op = tf.summary.merge_all()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        writer, saver = tf.summary.FileWriter(logs_dir, sess.graph), tf.train.Saver()
        for step in range(page.MAX_ITERATIONS):
            batch_image, batch_label = page.get_next_batch(images, labels, step)
            feed_dict = {input_dataset: batch_image, input_labels: batch_label}
            sess.run(train_op, feed_dict=feed_dict)
            if step % 10 == 0:
                writer.add_summary(sess.run([loss_val, summary_op], feed_dict)[1], global_step=step)
            if step % 100 == 0:
                sess.run(loss_val, {input_dataset: valid_images, input_labels: valid_labels})
                saver.save(sess, os.path.join(logs_dir, "model.ckpt"), global_step=step)


# This process only starts the others, and stays small: their peak of memory counts from its own.

def seconds(function, *args):
    """How long a call takes."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def measure(*command, **environment):
    """Run a Python command line: its standard output, wall time in seconds, peak memory in MB."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=errors,
                                   env=os.environ | {"PYTHONPATH": ROOT} | environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{errors.read()}")
        unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return output.read(), wall, usage.ru_maxrss * unit / 1e6


def call(function, *args, **environment):
    """Run one of the functions above in a process: what it returns, and its wall time."""
    output, wall, _ = measure(os.path.abspath(__file__), function.__name__, *map(str, args),
                              **environment)
    return json.loads(output.splitlines()[-1]), wall


def rows(folder):
    """Measure everything: yield figure, ours, the other's, unit, "at least" or "at most", target."""
    # Where a processor of AVX2 alone is imitated, TensorFlow as it comes has no oneDNN
    as_it_comes = {"TF_ENABLE_ONEDNN_OPTS": "0"} if IMITATED else {}
    kaggle, fer2013, logs = (os.path.join(folder, name) for name in ("kaggle", "fer2013", "logs"))
    for path, counts in ((kaggle, KAGGLE), (fer2013, FER2013)):
        os.mkdir(path)
        call(write_data, path, *counts)
    times, _ = call(reading, kaggle)
    yield "reading 5,490 faces / the straightforward way", *times.values(), "s", "at most", 0.5

    job, wall = call(whole_job, kaggle, logs)
    port = call(straightforward_port, kaggle, logs + "_port", **as_it_comes)[1]
    ours, keras = [], []
    for _ in range(3):
        ours.append(call(steps, kaggle, logs)[0])
        keras.append(call(keras_steps, kaggle, **as_it_comes)[0]["step"])
    step, product = (statistics.median(times[name] for times in ours) for name in ("step", "product"))
    yield ("training, images per second / Keras `fit` as it comes", BATCH_SIZE / step,
           BATCH_SIZE / statistics.median(keras), "images/s", "at least", 1.6)
    yield (f"a training step / the matrix product of {GFLOP:.1f} GFLOP", 1000 * step,
           1000 * product * GFLOP / (2e-9 * SIZE ** 3), "ms", "at most", 1.7)
    yield ("1,001 steps, whole process / the straightforward port as it comes", wall, port, "s",
           "at most", 0.9 if avx512() else 0.65)
    yield "whole job not spent in training steps", wall - job["steps"], wall, "s", "at most", 0.25

    image = measure("-c", "import matplotlib; print(matplotlib.get_data_path())")[0]
    one = (os.path.join(ROOT, "EmotionDetectorTest.py"), f"--logs_dir={logs}",
           os.path.join(image.strip(), "sample_data", "grace_hopper.jpg"))
    times = [(measure(*one)[1], measure("-c", "import tensorflow")[1]) for _ in range(5)]
    yield ("classifying one image / a bare `import tensorflow`", *map(statistics.median, zip(*times)),
           "s", "at most", 0.6)
    for path, counts, target in ((kaggle, KAGGLE, 900), (fer2013, FER2013, 1300)):
        peak = measure(os.path.join(ROOT, "EmotionDetector.py"), f"--data_dir={path}",
                       f"--logs_dir={path}_logs", "--max_iterations=11")[2]
        yield f"peak memory in training at {sum(counts):,} faces", peak, None, "MB", "at most", target


def avx512():
    """Whether oneDNN finds AVX-512 here, and may use it."""
    return "avx512" in cpuinfo() and not IMITATED


def cpuinfo():
    """What Linux says of the processor, or elsewhere its name."""
    if not os.path.exists("/proc/cpuinfo"):
        return f"model name: {platform.processor() or platform.machine()}"
    with open("/proc/cpuinfo") as file:
        return file.read()


def show(value):
    """A number as the table has it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main():
    """Measure everything and print the table."""
    print(re.search(r"model name\s*: (.*)", cpuinfo())[1], os.cpu_count(), "cores, AVX-512:",
          "yes" if avx512() else "no (imitated)" if IMITATED else "no")
    print("\n| figure | ours | the other | ratio | target | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for figure, ours, other, unit, bound, target in rows(folder):
            value = ours / other if other else ours
            met = value <= target if bound == "at most" else value >= target
            print(f"| {figure} | {show(ours)} {unit}",
                  f"| {show(other)} {unit} | {value:.2f}" if other else "| |",
                  f"| {bound} {target:,}" + ("" if other else f" {unit}"),
                  "|" if met else "| missed", "|", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
