# ruff: noqa: I001, UP031  (the order of the imports and the % are the book's)
"""Emotion recognition with CNNs: the chapter's program.

Trains a network of two convolutional and two fully-connected layers to tell seven
emotions from 48x48 grey faces:

    python EmotionDetector.py --mode=train

Without the book's data it practises on faces that it draws, and finds the emotion of
99.0 % of the validation faces after 1,001 iterations (53 seconds on two cores of an
AMD EPYC processor). What the chapter does not print is marked.
"""
import os

# Not in the book: for what surrounds the listings
import contextlib
import glob
import threading

import EmotionDetectorUtils

if __name__ == "__main__":  # Not in the book: TensorFlow loads fast, quietly, heeding Ctrl-C
    EmotionDetectorUtils.before_tensorflow()

import tensorflow.compat.v1 as tf
import numpy as np
from datetime import datetime

FLAGS = tf.flags.FLAGS
tf.flags.DEFINE_string("data_dir", EmotionDetectorUtils.DATA_DIR, "Path to data files")
tf.flags.DEFINE_string("logs_dir", "logs/EmotionDetector_logs/",
                       "Path to where log files are to be saved")
tf.flags.DEFINE_string("mode", "train", "mode: train (Default)/ test")

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
MAX_ITERATIONS = 1001
REGULARIZATION = 1e-2
IMAGE_SIZE = EmotionDetectorUtils.IMAGE_SIZE  # 48
NUM_LABELS = EmotionDetectorUtils.NUM_LABELS  # 7
VALIDATION_PERCENT = EmotionDetectorUtils.VALIDATION_PERCENT  # 0.1

# Not in the book: a wrong mode is an error, the run's length a flag, a GPU's memory is shared.
tf.flags.register_validator("mode", lambda mode: mode in ("train", "test"),
                            message="must be train or test")
tf.flags.DEFINE_integer("max_iterations", MAX_ITERATIONS,
                        "Training ends after this many iterations", lower_bound=1)
SESSION_CONFIG = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))
DROPOUT_PROB = 0.5  # the book's prob: the share of neurons that dropout keeps in training

START_AFRESH = "bring it back from a copy, or train afresh with another --logs_dir"
NO_MODEL = "%s holds no model: train one first, with python EmotionDetector.py --mode=train."
BAD_FILE = (tf.errors.OpError, OSError, ValueError, KeyError, TypeError, AttributeError,
            IndexError, RuntimeError)  # whatever TensorFlow stumbles over in a damaged file


def weight_variable(shape, stddev=0.02, name=None):
    """Make a weight from a truncated normal distribution; the book's listing.

    Args:
        shape: its dimensions.
        stddev: the standard deviation before truncation at twice this value.
        name: as in the checkpoint; an unnamed variable where None.
    """
    initial = tf.truncated_normal(shape, stddev=stddev)
    if name is None:
        return tf.Variable(initial)
    else:
        return tf.get_variable(name, initializer=initial)


def bias_variable(shape, name=None):
    """Make a bias of zeros, float32 of the given shape; the book's listing."""
    initial = tf.constant(0.0, shape=shape)
    if name is None:
        return tf.Variable(initial)
    else:
        return tf.get_variable(name, initializer=initial)


def add_to_regularization_loss(W, b):
    """Add the L2 terms of a layer to the collection `losses`; the book's listing."""
    tf.add_to_collection("losses", tf.nn.l2_loss(W))
    tf.add_to_collection("losses", tf.nn.l2_loss(b))


def max_pool_2x2(x):
    """Halve height and width: [n, h, w, c] to [n, h/2, w/2, c]. Used, not printed, in the book."""
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


def loss(pred, label):
    """Mean cross-entropy plus regularization; the book's listing.

    The two scalars for TensorBoard are those of the book's repository.

    Args:
        pred: logits float32 [n, 7]. No softmax before: the cross-entropy applies it.
        label: one-hot float32 [n, 7].

    Returns:
        The loss, a float32 scalar.
    """
    cross_entropy_loss = tf.nn.softmax_cross_entropy_with_logits(logits=pred, labels=label)
    cross_entropy_loss = tf.reduce_mean(cross_entropy_loss)
    reg_losses = tf.add_n(tf.get_collection("losses"))
    # Not in the book: the two curves for TensorBoard
    tf.summary.scalar("Entropy", cross_entropy_loss)
    tf.summary.scalar("Reg_loss", reg_losses)
    return cross_entropy_loss + REGULARIZATION * reg_losses


def emotion_cnn(dataset, dropout_prob):
    """Build the network; the book's listings of `weights`, `biases` and `emotion_cnn`.

    This differs from the book in two ways: (1) the dictionaries stand in here, so that
    importing this file builds no graph; (2) `dropout_prob` is an argument, so that
    dropout can be off where the network answers.

    Args:
        dataset: images float32 [n, 48, 48, 1] in 0..1.
        dropout_prob: the probability, 0..1, with which dropout keeps a neuron.

    Returns:
        The logits float32 [n, 7].
    """
    weights = {
        'wc1': weight_variable([5, 5, 1, 32], name="W_conv1"),
        'wc2': weight_variable([3, 3, 32, 64], name="W_conv2"),
        'wf1': weight_variable([(IMAGE_SIZE // 4) * (IMAGE_SIZE // 4) * 64, 256], name="W_fc1"),
        'wf2': weight_variable([256, NUM_LABELS], name="W_fc2")
    }

    biases = {
        'bc1': bias_variable([32], name="b_conv1"),
        'bc2': bias_variable([64], name="b_conv2"),
        'bf1': bias_variable([256], name="b_fc1"),
        'bf2': bias_variable([NUM_LABELS], name="b_fc2")
    }

    # 48x48x1 -> 48x48x32 by 5x5 kernels -> 24x24x32 by pooling
    with tf.name_scope("conv1"):
        tf.summary.histogram("W_conv1", weights['wc1'])
        tf.summary.histogram("b_conv1", biases['bc1'])
        conv_1 = tf.nn.conv2d(dataset, weights['wc1'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv1 = tf.nn.bias_add(conv_1, biases['bc1'])
        h_1 = tf.nn.relu(h_conv1)
        h_pool1 = max_pool_2x2(h_1)
        add_to_regularization_loss(weights['wc1'], biases['bc1'])

    # 24x24x32 -> 24x24x64 by 3x3 kernels -> 12x12x64 by pooling
    with tf.name_scope("conv2"):
        tf.summary.histogram("W_conv2", weights['wc2'])
        tf.summary.histogram("b_conv2", biases['bc2'])
        conv_2 = tf.nn.conv2d(h_pool1, weights['wc2'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv2 = tf.nn.bias_add(conv_2, biases['bc2'])
        h_2 = tf.nn.relu(h_conv2)
        h_pool2 = max_pool_2x2(h_2)
        add_to_regularization_loss(weights['wc2'], biases['bc2'])

    # 12*12*64 = 9216 values in one row -> 256 neurons
    with tf.name_scope("fc_1"):
        image_size = IMAGE_SIZE // 4
        h_flat = tf.reshape(h_pool2, [-1, image_size * image_size * 64])
        tf.summary.histogram("W_fc1", weights['wf1'])
        tf.summary.histogram("b_fc1", biases['bf1'])
        h_fc1 = tf.nn.relu(tf.matmul(h_flat, weights['wf1']) + biases['bf1'])
        h_fc1_dropout = tf.nn.dropout(h_fc1, dropout_prob)

    # 256 -> one neuron for each of the 7 emotions
    with tf.name_scope("fc_2"):
        tf.summary.histogram("W_fc2", weights['wf2'])
        tf.summary.histogram("b_fc2", biases['bf2'])
        pred = tf.matmul(h_fc1_dropout, weights['wf2']) + biases['bf2']
    return pred


def get_next_batch(images, labels, step):
    """Take the batch of a step. Used, not printed, in the book.

    Args:
        images: float32 [n, 48, 48, 1].
        labels: float32 [n, 7].
        step: the number of the iteration, from 0.

    Returns:
        BATCH_SIZE images and their labels; all of them where n <= BATCH_SIZE.
    """
    if images.shape[0] <= BATCH_SIZE:
        return images, labels
    offset = (step * BATCH_SIZE) % (images.shape[0] - BATCH_SIZE)
    return images[offset:offset + BATCH_SIZE], labels[offset:offset + BATCH_SIZE]


# Not in the book: what surrounds the listings: the graph, evaluation, checkpoints.

@contextlib.contextmanager
def new_graph():
    """Give the function that this decorates a TF1 graph of its own for each call."""
    tf.logging.set_verbosity(tf.logging.FATAL)  # not of deprecation; its errors are ours to state
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        yield


def run_in_batches(sess, tensor, feed_dict, settings=None):
    """Run a tensor on any number of rows, at most BATCH_SIZE at a time.

    Args:
        tensor: what to compute.
        feed_dict: arrays of n >= 1 rows each.
        settings: what else to feed, the same for each batch.

    Returns:
        The list of the results, and the list of the batches' sizes.
    """
    rows = len(next(iter(feed_dict.values())))
    starts = range(0, rows, BATCH_SIZE)
    results = [sess.run(tensor, feed_dict={key: array[start:start + BATCH_SIZE]
                                           for key, array in feed_dict.items()} | (settings or {}))
               for start in starts]
    return results, [min(BATCH_SIZE, rows - start) for start in starts]


def mean_loss(sess, loss_val, feed_dict):
    """Return the loss over all rows of a feed."""
    losses, sizes = run_in_batches(sess, loss_val, feed_dict)
    return np.average(losses, weights=sizes)


def predict(sess, output_pred, feed_dict, settings=None):
    """Return the probabilities float32 [n, 7] for all rows of a feed."""
    return np.concatenate(run_in_batches(sess, output_pred, feed_dict, settings)[0])


def recorded_losses(logs_dir):
    """Read the losses of a run, and of those it resumed from, out of the event files.

    Returns:
        Two dictionaries {step: loss}: training and validation.
    """
    training, validation = {}, {}
    for path in sorted(glob.glob(os.path.join(glob.escape(logs_dir), "events.out.tfevents.*"))):
        try:
            for event in tf.train.summary_iterator(path):
                values = {value.tag: value.simple_value for value in event.summary.value}
                if "Entropy" in values:
                    training[event.step] = values["Entropy"] + REGULARIZATION * values["Reg_loss"]
                if "Validation_loss" in values:
                    validation[event.step] = values["Validation_loss"]
        except tf.errors.OpError as error:
            EmotionDetectorUtils.notice(f"{path} ends early, as a killed run leaves it ({error}).")
    return training, validation


@contextlib.contextmanager
def stated(sentence, faults=BAD_FILE):
    """Turn what TensorFlow says of a file into an error of one sentence."""
    try:
        yield
    except faults as error:
        while isinstance(error.__context__, tf.errors.OpError):
            error = error.__context__  # the first one says it without the graph around it
        reason = getattr(error, "strerror", None) or str(getattr(error, "message", error))
        reason = reason.splitlines()[0] if reason else type(error).__name__
        raise EmotionDetectorUtils.UserError(f"{sentence} ({reason}).") from error


@contextlib.contextmanager
def stated_training():
    """Turn what stops training, a full disk or memory, into such an error, too.

    TensorFlow writes the event file in a thread of its own, and raises in both.
    """
    hook = threading.excepthook
    threading.excepthook = lambda _: None
    try:
        with stated(f"Training has stopped; what was saved before stays in {FLAGS.logs_dir}",
                    (tf.errors.OpError, RuntimeError, IndexError)):
            yield
    finally:
        threading.excepthook = hook


def newest_checkpoint(logs_dir):
    """Return the path, without suffix, of a folder's newest checkpoint; None where there is none.

    The file `checkpoint` names it, or where that is lost the highest number does. It is
    looked for in the same folder, wherever it was written: folders are moved.

    Raises:
        UserError: a file of it is missing or damaged.
    """
    state = os.path.join(logs_dir, "checkpoint")
    if os.path.exists(state):
        with stated(f"{state} is damaged: {START_AFRESH}"):
            ckpt = tf.train.get_checkpoint_state(logs_dir)
            if not ckpt:
                raise ValueError("it names no model")
            path = os.path.join(logs_dir, os.path.basename(ckpt.model_checkpoint_path))
    else:
        paths = glob.glob(os.path.join(glob.escape(logs_dir), "model.ckpt-*.index"))
        if not paths:
            return None
        path = max(paths, key=lambda path: (len(path), path)).removesuffix(".index")
    for suffix in (".index", ".data-00000-of-00001", ".meta"):
        if not os.path.isfile(path + suffix):
            raise EmotionDetectorUtils.UserError(f"{path + suffix} is missing: {START_AFRESH}.")
    return path


def restore(sess, saver, path):
    """Restore a checkpoint into the variables of the default graph.

    Raises:
        UserError: it is damaged, or of another network.
    """
    with stated(f"{path}.index is damaged: {START_AFRESH}"):
        shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    for variable in tf.global_variables():
        name, shape = variable.op.name, variable.shape.as_list()
        if shapes.get(name) != shape:
            raise EmotionDetectorUtils.UserError(
                f"{path} is of another network: {name} is {shapes.get(name, 'missing')}, "
                f"expected {shape}. Name another folder with --logs_dir.")
    with stated(f"{path}.data-00000-of-00001 is damaged: {START_AFRESH}"):
        saver.restore(sess, path)
    ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
    if ckpt:  # the saver goes on pruning these: never those in the folder this one is a copy of
        saver.recover_last_checkpoints([os.path.join(FLAGS.logs_dir, os.path.basename(path))
                                        for path in ckpt.all_model_checkpoint_paths])


def import_graph(path):
    """Import the graph that was saved with a checkpoint into the default graph.

    Returns:
        Its `Saver`, and its constant `training_data`: None in a graph of the book's program.

    Raises:
        UserError: it is damaged, or of another network.
    """
    graph = tf.get_default_graph()
    with stated(f"{path}.meta is damaged: {START_AFRESH}"):
        saver = tf.train.import_meta_graph(f"{path}.meta", clear_devices=True)
        for name, shape in (("input:0", [None, IMAGE_SIZE, IMAGE_SIZE, 1]),
                            ("output:0", [None, NUM_LABELS])):
            if not graph.get_tensor_by_name(name).shape.is_compatible_with(shape):
                raise ValueError(f"of another network: the shape of {name} is not {shape}")
        if "training_data" not in {operation.name for operation in graph.get_operations()}:
            return saver, None
        data = tf.get_static_value(graph.get_tensor_by_name("training_data:0"))
        return saver, data.item().decode()


def check_training_data(path, data):
    """Refuse to train a model on with other faces than before; a test with others is told."""
    with tf.Graph().as_default():
        _, trained_on = import_graph(path)
    if trained_on in (None, data):
        return
    if FLAGS.mode == "train":
        raise EmotionDetectorUtils.UserError(
            f"{path} was trained on other data: name another folder with --logs_dir, "
            "or the same data with --data_dir.")
    EmotionDetectorUtils.notice(f"{path} was trained on other data than it is tested on.")


def run_finite(sess, fetches, feed_dict, step):
    """Run the loss, and what follows it in the list `fetches`; the loss must be a number.

    Raises:
        UserError: it is none, or a weight, for which TensorFlow draws no histogram.
    """
    try:
        results = sess.run(fetches, feed_dict=feed_dict)
    except tf.errors.InvalidArgumentError:
        results = [np.nan]
    if not np.isfinite(results[0]):
        raise EmotionDetectorUtils.UserError(
            f"Training has diverged: after step {step} the loss is no number any more. "
            f"What was saved before stays in {FLAGS.logs_dir}.")
    return results


def save(sess, saver, step):
    """Save a checkpoint such that a kill at any moment leaves one that restores.

    Raises:
        UserError: the disk is full, say; the checkpoint before stays.
    """
    path = os.path.join(FLAGS.logs_dir, "model.ckpt")
    with stated(f"{path}-{step} cannot be saved"):
        try:
            saver.export_meta_graph(f"{path}-{step}.meta")  # before `checkpoint` names it
            saver.save(sess, path, global_step=step, write_meta_graph=False)
        except BAD_FILE:
            remove_parts(f"model.ckpt-{step}.*", "checkpoint.tmp*")
            raise


def make_logs_dir():
    """Make --logs_dir, and rid it of what a killed run left half-written."""
    with stated(f"{FLAGS.logs_dir} cannot be made a folder"):
        os.makedirs(FLAGS.logs_dir, exist_ok=True)
    EmotionDetectorUtils.check_folder(FLAGS.logs_dir)
    remove_parts("model.ckpt-*.tempstate*", "model.ckpt-*.meta.tmp*", "checkpoint.tmp*")


def remove_parts(*patterns):
    """Remove what a save that failed, or was killed, has left of itself in --logs_dir."""
    for pattern in patterns:
        for part in glob.glob(os.path.join(glob.escape(FLAGS.logs_dir), pattern)):
            os.remove(part)


@new_graph()
def main(argv=None):
    """Train, or with --mode=test judge what was trained; the book's `main`."""
    # Not in the book: only the default folder may be without data
    EmotionDetectorUtils.find_named_data(FLAGS["data_dir"])

    train_images, train_labels, valid_images, valid_labels, test_images = \
        EmotionDetectorUtils.read_data(FLAGS.data_dir)
    print("Train size: %s" % train_images.shape[0])
    print("Validation size: %s" % valid_images.shape[0])
    print("Test size: %s" % test_images.shape[0])

    input_dataset = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, 1], name="input")
    input_labels = tf.placeholder(tf.float32, [None, NUM_LABELS])
    global_step = tf.Variable(0, trainable=False)
    dropout_prob = tf.placeholder_with_default(1.0, [], name="dropout_prob")
    # Not in the book: the model carries along what it was trained on
    data = EmotionDetectorUtils.training_data(FLAGS.data_dir)
    tf.constant(data, name="training_data")

    pred = emotion_cnn(input_dataset, dropout_prob)
    output_pred = tf.nn.softmax(pred, name="output")
    loss_val = loss(pred, input_labels)
    train_op = tf.train.AdamOptimizer(LEARNING_RATE).minimize(loss_val, global_step)
    summary_op = tf.summary.merge_all()

    with tf.Session(config=SESSION_CONFIG) as sess:
        sess.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        ckpt = newest_checkpoint(FLAGS.logs_dir)
        if ckpt:
            check_training_data(ckpt, data)
            restore(sess, saver, ckpt)
            print("Model Restored!")

        # Not in the book: --mode=test judges the model and trains nothing
        if FLAGS.mode == "test":
            if not ckpt:
                raise EmotionDetectorUtils.UserError(NO_MODEL % FLAGS.logs_dir)
            print("Validation Loss: %f" % mean_loss(sess, loss_val, {
                input_dataset: valid_images, input_labels: valid_labels}))
            probabilities = predict(sess, output_pred, {input_dataset: valid_images})
            EmotionDetectorUtils.print_accuracy(probabilities, valid_labels, train_labels)
            EmotionDetectorUtils.report(probabilities, valid_labels, FLAGS.logs_dir)
            if len(test_images):
                EmotionDetectorUtils.write_predictions(
                    predict(sess, output_pred, {input_dataset: test_images}), FLAGS.logs_dir)
            else:
                EmotionDetectorUtils.notice("No test set: predictions.csv is not written.")
            return

        # Not in the book: a resumed run goes on from its step; nothing is written before here
        start = sess.run(global_step)
        if start >= FLAGS.max_iterations:
            print(f"The model is trained: {start} iterations are done. "
                  f"--max_iterations={start + 100} would train it further.")
            return
        make_logs_dir()

        # Not in the book: Ctrl-C waits until the step is done and saved; a file of curves of its
        # own for each start, as TensorFlow names them by the second and overwrites
        with stated_training(), EmotionDetectorUtils.held_signals() as signals:
            summary_writer = tf.summary.FileWriter(FLAGS.logs_dir, sess.graph,
                                                   filename_suffix=".%d" % start)
            for step in range(start, FLAGS.max_iterations):
                batch_image, batch_label = get_next_batch(train_images, train_labels, step)
                feed_dict = {input_dataset: batch_image, input_labels: batch_label,
                             dropout_prob: DROPOUT_PROB}
                sess.run(train_op, feed_dict=feed_dict)
                if step % 10 == 0:
                    train_loss, summary_str = run_finite(
                        sess, [loss_val, summary_op], feed_dict, step)
                    summary_writer.add_summary(summary_str, global_step=step)
                    print("Training Loss: %f" % train_loss)

                if step % 100 == 0:
                    valid_loss = mean_loss(sess, loss_val, {input_dataset: valid_images,
                                                            input_labels: valid_labels})
                    print("%s Validation Loss: %f" % (datetime.now(), valid_loss))
                    # Not in the book: the validation curve
                    summary_writer.add_summary(tf.Summary(value=[tf.Summary.Value(
                        tag="Validation_loss", simple_value=valid_loss)]), global_step=step)

                # Not in the book: the last step is saved as well, and the one that is interrupted
                last = step == FLAGS.max_iterations - 1 or bool(signals)
                if step % 100 == 0 or last:
                    run_finite(sess, [loss_val], feed_dict, step)
                    save(sess, saver, step)
                    summary_writer.flush()
                if last:
                    break
            summary_writer.close()
            if signals:
                EmotionDetectorUtils.notice(f"Step {step} is saved: the same command goes on "
                                            "from there.")

        probabilities = predict(sess, output_pred, {input_dataset: valid_images})
    EmotionDetectorUtils.print_accuracy(probabilities, valid_labels, train_labels)
    losses = recorded_losses(FLAGS.logs_dir)
    EmotionDetectorUtils.present(lambda figure: EmotionDetectorUtils.draw_losses(figure, *losses),
                                 os.path.join(FLAGS.logs_dir, "loss.png"))


if __name__ == "__main__":
    EmotionDetectorUtils.run(main)
