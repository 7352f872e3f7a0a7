"""Emotion recognition with CNNs: the chapter's program.

Trains a network of two convolutional and two fully-connected layers to tell seven
emotions from 48x48 grey faces:

    python EmotionDetector.py --mode=train

Without the book's data it practises on faces that it draws, and finds the emotion of
99.0 % of the validation faces after 1,001 iterations. What the page has not is marked.
"""
# Not in the book: what stands after main needs these; TensorFlow loads fast, and in silence
import contextlib, glob, ntpath, re, threading  # noqa: I001
import EmotionDetectorUtils
from EmotionDetectorUtils import UserError, notice, reason
if __name__ == "__main__":
    EmotionDetectorUtils.start()

import tensorflow.compat.v1 as tf  # noqa: I001
import numpy as np
import os, sys, inspect  # noqa: F401
from datetime import datetime
import EmotionDetectorUtils

FLAGS = tf.flags.FLAGS
tf.flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
tf.flags.DEFINE_string("logs_dir", "logs/EmotionDetector_logs/",
                       "Path to where log files are to be saved")
tf.flags.DEFINE_string("mode", "train", "mode: train (Default)/ test")

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
MAX_ITERATIONS = 1001
REGULARIZATION = 1e-2
IMAGE_SIZE = 48
NUM_LABELS = 7
VALIDATION_PERCENT = 0.1


def weight_variable(shape, stddev=0.02, name=None):
    """Make a weight from a normal distribution truncated at 2 * stddev; the book's listing."""
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


def loss(pred, label):
    """Return mean cross-entropy plus regularization, of logits and one-hot [n, 7]; the book's listing."""
    cross_entropy_loss = tf.nn.softmax_cross_entropy_with_logits(logits=pred, labels=label)
    cross_entropy_loss = tf.reduce_mean(cross_entropy_loss)
    reg_losses = tf.add_n(tf.get_collection("losses"))
    # Not in the book: two curves for TensorBoard, as in the book's repository
    tf.summary.scalar("Entropy", cross_entropy_loss)
    tf.summary.scalar("Reg_loss", reg_losses)
    return cross_entropy_loss + REGULARIZATION * reg_losses


def add_to_regularization_loss(W, b):
    """Add the L2 terms of a layer to the collection `losses`; the book's listing."""
    tf.add_to_collection("losses", tf.nn.l2_loss(W))
    tf.add_to_collection("losses", tf.nn.l2_loss(b))


def emotion_cnn(dataset, dropout_prob):
    """Build the network; the book's listings of `weights`, `biases` and `emotion_cnn`.

    From images [n, 48, 48, 1] in 0..1, and the share of neurons that dropout keeps, to logits
    [n, 7]. This differs from the book in two ways: (1) the dictionaries stand in here, so that
    an import builds no graph; (2) dropout is an argument: off where the network answers.
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
    with tf.name_scope("conv1") as scope:
        tf.summary.histogram("W_conv1", weights['wc1'])
        tf.summary.histogram("b_conv1", biases['bc1'])
        conv_1 = tf.nn.conv2d(dataset, weights['wc1'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv1 = tf.nn.bias_add(conv_1, biases['bc1'])
        h_1 = tf.nn.relu(h_conv1)
        h_pool1 = max_pool_2x2(h_1)
        add_to_regularization_loss(weights['wc1'], biases['bc1'])

    # 24x24x32 -> 24x24x64 by 3x3 kernels -> 12x12x64 by pooling
    with tf.name_scope("conv2") as scope:
        tf.summary.histogram("W_conv2", weights['wc2'])
        tf.summary.histogram("b_conv2", biases['bc2'])
        conv_2 = tf.nn.conv2d(h_pool1, weights['wc2'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv2 = tf.nn.bias_add(conv_2, biases['bc2'])
        h_2 = tf.nn.relu(h_conv2)
        h_pool2 = max_pool_2x2(h_2)
        add_to_regularization_loss(weights['wc2'], biases['bc2'])

    # 12*12*64 = 9216 values in one row -> 256 neurons
    with tf.name_scope("fc_1") as scope:
        image_size = IMAGE_SIZE // 4
        h_flat = tf.reshape(h_pool2, [-1, image_size * image_size * 64])
        tf.summary.histogram("W_fc1", weights['wf1'])
        tf.summary.histogram("b_fc1", biases['bf1'])
        h_fc1 = tf.nn.relu(tf.matmul(h_flat, weights['wf1']) + biases['bf1'])
        h_fc1_dropout = tf.nn.dropout(h_fc1, dropout_prob)

    # 256 -> one neuron for each of the 7 emotions
    with tf.name_scope("fc_2") as scope:  # noqa: F841
        tf.summary.histogram("W_fc2", weights['wf2'])
        tf.summary.histogram("b_fc2", biases['bf2'])
        pred = tf.matmul(h_fc1_dropout, weights['wf2']) + biases['bf2']
        return pred


@EmotionDetectorUtils.new_graph()  # Not in the book: a seeded graph for each call
def main(argv=None):
    """Train, or with --mode=test judge what was trained; the book's `main`."""
    train_images, train_labels, valid_images, valid_labels, test_images = \
        EmotionDetectorUtils.read_data(FLAGS.data_dir)
    print("Train size: %s" % train_images.shape[0])  # noqa: UP031
    print('Validation size: %s' % valid_images.shape[0])  # noqa: UP031
    print("Test size: %s" % test_images.shape[0])  # noqa: UP031

    input_dataset = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, 1], name="input")
    input_labels = tf.placeholder(tf.float32, [None, NUM_LABELS])
    global_step = tf.Variable(0, trainable=False)
    dropout_prob = tf.placeholder_with_default(1.0, [], name="dropout_prob")
    # Not in the book: the model carries along what it is trained on
    tf.constant(EmotionDetectorUtils.training_data(FLAGS.data_dir), name="training_data")

    pred = emotion_cnn(input_dataset, dropout_prob)
    output_pred = tf.nn.softmax(pred, name="output")
    loss_val = loss(pred, input_labels)
    train_op = tf.train.AdamOptimizer(LEARNING_RATE).minimize(loss_val, global_step)
    summary_op = tf.summary.merge_all()

    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        with checkpoint_stated():  # Not in the book: whatever is wrong with it is one sentence
            ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
            ckpt = found(ckpt, needed=FLAGS.mode == "test")  # Not in the book: where it lies today
            if ckpt and ckpt.model_checkpoint_path:
                check_training_data(ckpt.model_checkpoint_path)  # Not in the book: other faces
                saver.restore(sess, ckpt.model_checkpoint_path)
                print("Model Restored!")

        # Not in the book: --mode=test trains nothing, and a resumed run goes on from its step
        if FLAGS.mode == "test":
            return test(sess, loss_val, output_pred, {input_dataset: valid_images, input_labels: valid_labels},
                        train_labels, test_images)
        start = sess.run(global_step)
        if start >= FLAGS.max_iterations:
            return print(f"The model is trained: {start} iterations are done. "
                         f"--max_iterations={start + 100} would train it further.")

        with training() as signals:  # Not in the book: a signal waits until the step is saved
            summary_writer = tf.summary.FileWriter(FLAGS.logs_dir, sess.graph)
            for step in range(start, FLAGS.max_iterations):
                batch_image, batch_label = get_next_batch(train_images, train_labels, step)
                feed_dict = {input_dataset: batch_image, input_labels: batch_label}
                feed_dict[dropout_prob] = 0.5  # Not in the book, where it is a constant
                sess.run(train_op, feed_dict=feed_dict)
                if step % 10 == 0:
                    train_loss, summary_str = sess.run([loss_val, summary_op], feed_dict=feed_dict)
                    summary_writer.add_summary(summary_str, global_step=step)
                    print("Training Loss: %f" % train_loss)  # noqa: UP031

                if step % 100 == 0:
                    valid_loss = run_in_batches(sess, loss_val, feed_dict={input_dataset: valid_images,
                                                                           input_labels: valid_labels})
                    print("%s Validation Loss: %f" % (datetime.now(), valid_loss))  # noqa: UP031
                    # Not in the book: the validation curve
                    summary_writer.add_summary(tf.Summary(value=[tf.Summary.Value(
                        tag="Validation_loss", simple_value=valid_loss)]), global_step=step)

                # Not in the book: the last step is saved as well, and the one that a signal ends
                last = bool(signals) or step == FLAGS.max_iterations - 1
                if step % 100 == 0 or last:
                    check_and_export(sess, saver, step, [loss_val, summary_op], feed_dict)
                    saver.save(sess, os.path.join(FLAGS.logs_dir, 'model.ckpt'), global_step=step)
                if last:
                    break

            summary_writer.close()  # Not in the book, from here on
            if signals:
                notice(f"Step {step} is saved: the same command goes on from there.")
        answers = run_in_batches(sess, output_pred, feed_dict={input_dataset: valid_images})
        print_accuracy(answers, valid_labels, train_labels)
        EmotionDetectorUtils.draw_losses(*recorded_losses(), os.path.join(FLAGS.logs_dir, "loss.png"))


# Used in the chapter's listings, and not printed.
def max_pool_2x2(x):
    """Halve height and width: [n, h, w, c] to [n, h/2, w/2, c]."""
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


def get_next_batch(images, labels, step):
    """Take the batch of a step, counted from 0: BATCH_SIZE rows; all n where n <= BATCH_SIZE."""
    if images.shape[0] <= BATCH_SIZE:
        return images, labels
    offset = (step * BATCH_SIZE) % (images.shape[0] - BATCH_SIZE)
    return images[offset:offset + BATCH_SIZE], labels[offset:offset + BATCH_SIZE]


# Not in the book: what `main` uses beside: flags, answers, checkpoints, the training's two ends.
tf.flags.register_validator("mode", lambda mode: mode in ("train", "test"), "must be train or test")
tf.flags.DEFINE_integer("max_iterations", MAX_ITERATIONS,
                        "Training ends after this many iterations", lower_bound=1)


def run_in_batches(sess, fetch, feed_dict):
    """Run a scalar, or a tensor of a row each, on n rows; return the mean over them, or the n rows."""
    rows = len(next(iter(feed_dict.values())))
    sizes = [min(BATCH_SIZE, rows - start) for start in range(0, rows, BATCH_SIZE)]
    results = [sess.run(fetch, feed_dict={key: array[BATCH_SIZE * number:][:size]
                                          for key, array in feed_dict.items()})
               for number, size in enumerate(sizes)]
    return np.concatenate(results) if np.ndim(results[0]) else np.average(results, weights=sizes)


def print_accuracy(answers, labels, train_labels):
    """Print how many of n faces, both [n, 7], are told right, and how many one constant answer gets."""
    truth, usual = labels.argmax(axis=1), train_labels.sum(axis=0).argmax()
    print(f"Validation Accuracy: {np.mean(answers.argmax(axis=1) == truth):f}")
    print(f"Always answering {EmotionDetectorUtils.EMOTIONS[usual]}: {np.mean(truth == usual):f}")


def test(sess, loss_val, output_pred, feed_dict, train_labels, test_images):
    """Judge the model for --mode=test; the feed is of the validation set, images and labels."""
    (input_dataset, valid_images), (_, valid_labels) = feed_dict.items()
    print(f"Validation Loss: {run_in_batches(sess, loss_val, feed_dict):f}")
    valid_answers = run_in_batches(sess, output_pred, {input_dataset: valid_images})
    print_accuracy(valid_answers, valid_labels, train_labels)
    if len(test_images):
        answers = run_in_batches(sess, output_pred, {input_dataset: test_images})
        EmotionDetectorUtils.write_answers(os.path.join(FLAGS.logs_dir, "predictions.csv"), {
            "Id": range(1, len(answers) + 1), "Emotion": answers.argmax(axis=1)}, answers)
    else:
        notice("No test set: predictions.csv is not written.")
    picture = os.path.join(FLAGS.logs_dir, "confusion_matrix")
    EmotionDetectorUtils.report(valid_answers, valid_labels.argmax(axis=1), picture + ".png")
    test_labels, _ = EmotionDetectorUtils.read_test_set(FLAGS.data_dir)
    if test_labels is not None:
        print(f"Test Accuracy: {np.mean(answers.argmax(axis=1) == test_labels):f}")
        EmotionDetectorUtils.report(answers, test_labels, picture + "_test.png")


@contextlib.contextmanager
def checkpoint_stated():
    """State whatever TensorFlow stumbles over in a checkpoint: it raises eight types for that."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        path, fault = os.path.join(FLAGS.logs_dir, "checkpoint"), "is damaged"
        with contextlib.suppress(Exception):  # What can be read to its end is not damaged
            path = found(tf.train.get_checkpoint_state(FLAGS.logs_dir)).model_checkpoint_path
            reader = tf.train.load_checkpoint(path)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
            trained_on(path)
            if os.path.exists(path + ".meta") or not reader.has_tensor("W_conv1"):
                fault = "is of another network, or of another program"
        raise UserError(f"{os.path.abspath(path)} {fault} ({reason(error)}): name another folder "
                        "with --logs_dir, or bring it back from a copy.") from error


def trained_on(path):
    """Return the `training_data` that a checkpoint's graph holds; None in the book's own."""
    if not os.path.exists(path + ".meta"):
        return None
    with open(path + ".meta", "rb") as file:
        nodes = tf.MetaGraphDef.FromString(file.read()).graph_def.node
    if not nodes:
        raise ValueError(f"{path}.meta is empty")
    return next((node.attr["value"].tensor.string_val[0].decode() for node in nodes
                 if node.name == "training_data"), None)


def check_training_data(path):
    """Refuse to train a model on with other faces than before; a test with others is told."""
    if trained_on(path) in (None, EmotionDetectorUtils.training_data(FLAGS.data_dir)):
        return
    if FLAGS.mode == "train":
        raise UserError(f"{os.path.abspath(path)} was trained on other data: name another folder with "
                        "--logs_dir, or the same data with --data_dir.")
    notice(f"{os.path.abspath(path)} was trained on other data than it is tested on.")


def found(ckpt, needed=False):
    """Correct a `CheckpointState`, or None, to what lies in --logs_dir today.

    `checkpoint` names a model by the path at which it was saved, perhaps on another
    machine. Where that file is lost, the highest number counts.
    """
    folder = FLAGS.logs_dir
    if set(folder) & set("*?[\\") - {os.sep}:
        raise UserError(f"--logs_dir={folder}: TensorFlow takes *, ?, [ and \\ for a pattern, name another.")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    steps = [int(name[11:].removesuffix(".index")) for name in names
             if re.fullmatch(r"model\.ckpt-\d+(\.index)?", name)]
    if not ckpt and not steps:
        if "checkpoint" in names:
            raise ValueError("it names no model")
        if needed:
            raise UserError(f"{os.path.abspath(folder)} holds no model: train one first, with "
                            "python EmotionDetector.py --mode=train.")
        return None
    ckpt = ckpt or tf.train.generate_checkpoint_state_proto(folder, f"model.ckpt-{max(steps)}")
    ckpt.model_checkpoint_path = os.path.join(folder, ntpath.basename(ckpt.model_checkpoint_path))
    return ckpt


@contextlib.contextmanager
def training():
    """Prepare --logs_dir, put signals off, and state what stops the training in the block."""
    os.makedirs(FLAGS.logs_dir, exist_ok=True)
    for part in glob.glob(os.path.join(glob.escape(FLAGS.logs_dir), "*.tempstate*")):
        os.remove(part)  # a killed run's, up to 28 MB
    hook, threading.excepthook = threading.excepthook, lambda _: None  # of the curves' thread
    try:
        with EmotionDetectorUtils.held_signals() as signals:
            yield signals
    except (tf.errors.OpError, RuntimeError) as error:
        raise UserError(f"Training has stopped: {reason(error)}. What was saved before stays in "
                        f"{os.path.abspath(FLAGS.logs_dir)}.") from error
    finally:
        threading.excepthook = hook


def check_and_export(sess, saver, step, loss_and_summary, feed_dict):
    """Before a checkpoint: is it of numbers? And its graph, which a kill may then not leave out."""
    # The summary, for which TensorFlow checks the weights, has just been run at a tenth step
    train_loss, *_ = sess.run(loss_and_summary[:2 if step % 10 else 1], feed_dict=feed_dict)
    if not np.isfinite(train_loss):
        raise RuntimeError(f"the loss is no number any more after step {step}")
    saver.export_meta_graph(os.path.join(FLAGS.logs_dir, f"model.ckpt-{step}.meta"))


def recorded_losses():
    """Read training and validation losses, {step: loss}, of all runs in --logs_dir."""
    losses, early = ({}, {}), []
    for path in sorted(glob.glob(os.path.join(glob.escape(FLAGS.logs_dir), "events.out.tfevents.*"))):
        try:
            for event in tf.train.summary_iterator(path):
                values = {value.tag: value.simple_value for value in event.summary.value}
                if {"Entropy", "Reg_loss"} <= values.keys():
                    losses[0][event.step] = values["Entropy"] + REGULARIZATION * values["Reg_loss"]
                if "Validation_loss" in values:
                    losses[1][event.step] = values["Validation_loss"]
        except tf.errors.OpError:
            early.append(os.path.basename(path))
    if early:
        notice(f"In {os.path.abspath(FLAGS.logs_dir)} curves end early, as a killed run leaves them: "
               f"{', '.join(early)}.")
    return losses


if __name__ == "__main__":
    EmotionDetectorUtils.run(main, tf.errors.OpError)
