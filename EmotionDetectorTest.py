"""Tell the emotion of faces on photographs with the network that EmotionDetector.py trained.

    python EmotionDetectorTest.py face.jpg [more images, folders, patterns ...]

The chapter promises this test and does not print it (the book's repository calls its
own `test_your_image.py`). This one restores the saved graph, and reads no data set.
"""
# Not in the book: the whole of this file.
if __name__ == "__main__":
    import EmotionDetectorUtils
    EmotionDetectorUtils.start()

import os

import tensorflow.compat.v1 as tf
from absl import flags

import EmotionDetector
import EmotionDetectorUtils
from EmotionDetectorUtils import EMOTIONS, UserError, notice

FLAGS = flags.FLAGS
flags.declare_key_flag("logs_dir")
flags.DEFINE_list("box", None, "LEFT,TOP,WIDTH,HEIGHT of the face in each image, in pixels; "
                  "otherwise the largest square in the middle")
flags.DEFINE_string("figure", None, "File to draw images and answers into")
flags.DEFINE_bool("show", False, "Show that drawing in a window")
flags.DEFINE_string("csv", None, "File to write the answers into, a row for each image")
MAX_DRAWN = 100  # images in one drawing


@EmotionDetectorUtils.new_graph()
def classify(images):
    """Return what the newest checkpoint says of images [n, 48, 48, 1] in 0..1: float32 [n, 7].

    Raises a UserError where there is no checkpoint in --logs_dir, or it is damaged.
    """
    with tf.Session() as sess, EmotionDetector.checkpoint_stated():
        ckpt = EmotionDetector.found(tf.train.get_checkpoint_state(FLAGS.logs_dir), needed=True)
        path = ckpt.model_checkpoint_path
        saver = tf.train.import_meta_graph(path + ".meta", clear_devices=True)
        saver.restore(sess, path)
        if EmotionDetector.trained_on(path) == EmotionDetectorUtils.PRACTICE_FACES:
            notice(f"{os.path.abspath(path)} was trained on drawn practice faces and has never seen a "
                   "photograph: do not believe its answers on one.")
        # In the book's graph dropout is a constant: the value before it is fed behind it
        h_fc1 = EmotionDetector.run_in_batches(sess, "fc_1/Relu:0", {"input:0": images})
        h_fc1_dropout = sess.graph.get_operation_by_name("fc_2/MatMul").inputs[0]
        return EmotionDetector.run_in_batches(sess, "output:0", {h_fc1_dropout: h_fc1})


def main(argv):
    """Classify the images on the command line; the exit status is 1 if one could not be read."""
    names = EmotionDetectorUtils.find_pictures(argv[1:])
    if not names:
        raise flags.Error("Name the images to classify: face.jpg ...")
    if (FLAGS.figure or FLAGS.show) and len(names) > MAX_DRAWN:
        raise flags.Error(f"{len(names)} images are too many for a drawing, expected at most "
                          f"{MAX_DRAWN}: leave out --figure and --show, or name fewer.")

    read, images = [], []
    for name in names:
        try:
            images.append(EmotionDetectorUtils.read_image(name, FLAGS.box))
            read.append(name)
        except UserError as error:
            notice(f"Error: {error}")
    if not images:
        return 1
    probabilities = classify(images)
    emotions = [EMOTIONS[row.argmax()] for row in probabilities]
    for name, emotion, row in zip(read, emotions, probabilities):
        print(f"{name}: {emotion}")
        for one, probability in zip(EMOTIONS, row):
            print(f"{one} = {probability:.2%}")

    if FLAGS.csv:
        EmotionDetectorUtils.write_answers(FLAGS.csv, {"path": read, "emotion": emotions}, probabilities)
    if FLAGS.figure or FLAGS.show:
        answers = list(zip(read, [FLAGS.box] * len(read), images, probabilities))
        EmotionDetectorUtils.draw_answers(answers, FLAGS.figure, FLAGS.show)
    return 0 if len(read) == len(names) else 1


if __name__ == "__main__":
    EmotionDetectorUtils.run(main, tf.errors.OpError, takes_files=True)
