"""Tell the emotion of faces on photographs with the network that EmotionDetector.py trained.

    python EmotionDetectorTest.py face.jpg [more images, folders, patterns ...]

The chapter promises this test and does not print it; the book's repository calls its own `test_your_image.py`.
"""
# Not in the book: the whole of this file.
if __name__ == "__main__":
    import EmotionDetectorUtils
    EmotionDetectorUtils.prepare_script()

import csv
import glob
import os

import numpy as np
import tensorflow.compat.v1 as tf
from absl import flags

import EmotionDetector
import EmotionDetectorUtils
from EmotionDetectorUtils import EMOTIONS, UserError, each_readable, read_image, warn

FLAGS = flags.FLAGS
flags.declare_key_flag("logs_dir")
flags.DEFINE_list("box", None, "LEFT,TOP,WIDTH,HEIGHT of the face in pixels; else the largest square in the middle")
flags.DEFINE_string("figure", None, "File to draw images and answers into")
flags.DEFINE_bool("show", False, "Show each image and its answer in a window, where a box can be dragged over a face")
flags.DEFINE_string("csv", None, "File to write the answers into, a row for each image")
MAX_DRAWN = 20  # images in one drawing


@EmotionDetectorUtils.new_graph()
def main(argv):
    """Classify the images on the command line; the exit status is 1 if one could not be read."""
    if not argv[1:]:
        raise flags.Error("Name the images to classify: face.jpg ...")
    found = list(each_readable(expand_word, argv[1:]))
    names = [name for _, paths in found for name in paths]
    check_usage(names)
    plt = EmotionDetectorUtils.open_pyplot() if FLAGS.show else None
    answers = []
    with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as sess:  # one answer on every machine
        notice = restore_model(sess)
        with open(FLAGS.csv or os.devnull, "w", buffering=1, newline="", encoding="utf-8",
                  errors="surrogateescape") as file:  # line by line; a path keeps its bytes
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("path", "emotion", *EMOTIONS))
            for name, image in each_readable(lambda name: read_image(name, FLAGS.box), names):
                probabilities, = classify(sess, [image])
                print(f"{name}: {EMOTIONS[probabilities.argmax()]}")
                for emotion, probability in zip(EMOTIONS, probabilities):
                    print(f"{emotion} = {probability:.2%}")
                table.writerow((name, EMOTIONS[probabilities.argmax()], *probabilities))
                answers.append((name, image, probabilities))
                if FLAGS.show:
                    show_answer(plt, sess, answers[-1], notice)
    if FLAGS.figure and answers:
        from matplotlib.figure import Figure
        EmotionDetectorUtils.save_figure(draw_answers(Figure, answers, notice), FLAGS.figure)
    return 1 if len(found) < len(argv[1:]) or len(answers) < len(names) else 0


def expand_word(word):
    """Return the files that a word names: one file, the pictures in a folder, or those that match a pattern.

    What is left out is counted on standard error. Raises a UserError where no picture is among them.
    """
    if os.path.isdir(word):
        paths = EmotionDetectorUtils.list_folder(word)
    else:
        paths = [] if os.path.lexists(word) else sorted(glob.glob(word, recursive=True))
        if not paths:
            return [word]
    pictures, others = EmotionDetectorUtils.pick_pictures(paths)
    if not pictures:
        raise UserError(f"{os.path.abspath(word)} holds no picture of a kind that can be read: save them as JPEG or "
                        "PNG, or name their own folder.")
    if others:
        warn(f"{os.path.abspath(word)}: left out: {others} files that do not end as a picture does.")
    return pictures


def check_usage(names):
    """Raise flags.Error for a drawing of too many images, and for a file to write that is one of them."""
    if FLAGS.figure and len(names) > MAX_DRAWN:
        raise flags.Error(f"{len(names)} images are too many for a drawing, expected at most {MAX_DRAWN}: leave out "
                          "--figure, or name fewer")
    for path in filter(os.path.exists, (FLAGS.figure or "", FLAGS.csv or "")):
        if any(os.path.exists(name) and os.path.samefile(name, path) for name in names):
            raise flags.Error(f"{os.path.abspath(path)} is one of the images: name another file to write")


def restore_model(sess):
    """Restore the model of --logs_dir into a session, with its own graph or, where that is lost, `emotion_cnn`'s.

    Returns a sentence that goes with its answers, or "". Raises a UserError for no model, a damaged or another one.
    """
    with EmotionDetector.checkpoint_errors(), sess.graph.as_default():
        ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
        path = EmotionDetector.find_checkpoint(ckpt, needed=True).model_checkpoint_path
        trained_on = EmotionDetector.read_fingerprint(path) or ""
        if os.path.exists(path + ".meta"):
            saver = tf.train.import_meta_graph(path + ".meta", clear_devices=True)
        else:
            input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
            tf.nn.softmax(EmotionDetector.emotion_cnn(input_dataset, 1.0), name="output")
            saver = tf.train.Saver()
        saver.restore(sess, path)
        if not abs(classify(sess, np.zeros((1, 48, 48, 1))).sum() - 1) < 1e-3:  # NaN, too
            raise ValueError("its answer to a black image is no probabilities")
    if not trained_on.startswith(EmotionDetectorUtils.PRACTICE_FACES):
        return ""
    notice = "was trained on drawn practice faces and has never seen a photograph: do not believe its answers on one."
    warn(f"{path} {notice}")
    return f"This model {notice}"


def classify(sess, images):
    """Return the restored model's probabilities, float32 [n, 7], of images [n, 48, 48, 1].

    Raises a ValueError where a value of the images does not lie in 0..1.
    """
    if not np.all((np.asarray(images) >= 0) & (np.asarray(images) <= 1)):  # NaN, too
        raise ValueError("The values of images must lie in 0..1: divide them by 255, as training does.")
    # In the book's graph dropout is a constant: what goes into it is fed in place of what comes out
    h_fc1 = EmotionDetector.run_in_batches(sess, "fc_1/Relu:0", {"input:0": images})
    h_fc1_dropout = sess.graph.get_operation_by_name("fc_2/MatMul").inputs[0]
    return EmotionDetector.run_in_batches(sess, "output:0", {h_fc1_dropout: h_fc1})


def draw_answers(new_figure, answers, notice):
    """Draw answers, each a name, an image [48, 48, 1], probabilities [7], into a new figure, which is returned."""
    figure = new_figure(figsize=(9, 3 * len(answers)), layout="tight")
    panels = figure.subplots(len(answers), 3, squeeze=False, width_ratios=(5, 5, 6))
    for (photograph, seen, bars), (name, image, probabilities) in zip(panels, answers):
        draw_photograph(photograph, name)
        draw_answer(seen, bars, image, probabilities)
    if notice:  # the drawing is what is passed on
        figure.supxlabel(notice, fontsize="small")
    return figure


def draw_photograph(axes, name):
    """Draw a photograph and the box that is used of it."""
    from matplotlib import patches, patheffects

    picture = EmotionDetectorUtils.open_picture(name, "RGB")
    width, height = picture.size
    left, top, box_width, box_height = EmotionDetectorUtils.crop_box(name, picture.size, FLAGS.box)
    picture.thumbnail((400, 400))
    axes.imshow(picture, cmap="Greys_r", vmin=0, vmax=255, origin="upper", extent=(0, width, height, 0))
    axes.add_patch(patches.Rectangle(
        (left, top), box_width, box_height, fill=False, color="r", clip_on=False,
        path_effects=[patheffects.withStroke(linewidth=3, foreground="w")]))
    title = os.path.basename(name).encode(errors="replace").decode()
    axes.set_title(title if len(title) <= 24 else "\u2026" + title[-23:], parse_math=False)
    axes.axis("off")


def draw_answer(seen, bars, image, probabilities):
    """Draw on two axes what the network saw, and its seven probabilities."""
    seen.clear()
    seen.imshow(image[:, :, 0], cmap="Greys_r", vmin=0, vmax=1, origin="upper")
    seen.set_title("what the network saw")
    seen.axis("off")
    bars.clear()
    bars.bar_label(bars.barh(EMOTIONS, 100 * probabilities), fmt="%.0f %%", padding=2)
    bars.set(xlim=(0, 120), xticks=(), title=f"{EMOTIONS[probabilities.argmax()]} {probabilities.max():.0%}")
    bars.invert_yaxis()


def show_answer(plt, sess, answer, notice):
    """Show an answer in a window, and answer for each box that is dragged over its photograph, until it is closed."""
    from matplotlib.widgets import RectangleSelector

    figure, name = draw_answers(plt.figure, [answer], notice), answer[0]
    photograph, seen, bars = figure.axes

    def ask(_press, _release):
        left, right, top, bottom = map(round, selector.extents)
        box = left, top, right - left, bottom - top
        clicked = 0 in box[2:]
        for _, image in each_readable(lambda name: read_image(name, box), [] if clicked else [name]):
            probabilities, = classify(sess, [image])
            print(f"{name} --box={','.join(map(str, box))}: {EMOTIONS[probabilities.argmax()]}")
            photograph.patches[0].set_bounds(*box)
            draw_answer(seen, bars, image, probabilities)
            figure.canvas.draw_idle()

    if not EmotionDetectorUtils.INTERACTIVE:  # no window waits in a notebook
        photograph.set_title(f"{photograph.get_title()}\ndrag a box over the face", parse_math=False, fontsize="small")
        selector = RectangleSelector(photograph, ask, button=1, minspanx=5, minspany=5, spancoords="pixels")
    plt.show()


if __name__ == "__main__":
    FLAGS["logs_dir"].help = "Folder that the model is read from"
    EmotionDetectorUtils.run_script(main, tf.errors.OpError, takes_files=True)
