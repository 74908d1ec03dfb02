"""What is held out stays out of training, and the judge tells true pictures from wrong ones."""

import random

from captions import caption, plain_caption
from draw import draw
from evaluate import examination
from judge import verdict
from scenes import SCENES, scene_spec
from spec import Spec, Thing, held_out, test_specs, training_spec, unseen_pair
from words import SHAPE_COLOURS, SHAPES

test_specs.__test__ = False  # a function of the generator, not a test


def test_training_never_shows_a_held_out_combination():
    rng = random.Random(0)
    assert not any(held_out(training_spec(rng)) for _ in range(3000))


def test_the_readmes_picture_is_in_training():
    assert not held_out(Spec("single", (Thing("circle", "red"),), "white"))


def test_one_unseen_pair_for_each_shape_and_each_colour():
    pairs = [(s, c) for s in SHAPES for c in SHAPE_COLOURS if unseen_pair(Thing(s, c))]
    assert len(pairs) == 12 and len({s for s, _ in pairs}) == 12 and len({c for _, c in pairs}) == 12


def test_the_same_chance_gives_the_same_picture_and_words():
    def make():
        rng = random.Random("7")
        spec = training_spec(rng)
        return draw(spec, rng).tobytes(), caption(spec, rng)

    assert make() == make()


def test_the_judge_says_yes_to_the_truth_and_no_to_anything_else():
    exam = examination({"single": 12, "unseen": 4, "pair": 8, "count": 8}, seed=5)
    drawings = [draw(spec, random.Random(i)) for i, (spec, _) in enumerate(exam)]
    for (spec, _), drawing in zip(exam, drawings):
        assert all(verdict(spec, drawing).values()), plain_caption(spec)
    for (spec, _), drawing in zip(exam, drawings[1:] + drawings[:1]):
        said = verdict(spec, drawing)
        assert not (said["both"] and said.get("relation", True) and said["background"] and said.get("place", True)), plain_caption(spec)


def test_the_judge_sees_a_swapped_relation():
    red, blue = Thing("square", "red"), Thing("circle", "blue")
    picture = draw(Spec("pair", (red, blue), relation="left"), random.Random(1))
    assert verdict(Spec("pair", (red, blue), relation="left"), picture)["relation"]
    for relation in ("right", "above", "below"):
        assert not verdict(Spec("pair", (red, blue), relation=relation), picture)["relation"]


def test_every_scene_is_drawn_and_said():
    rng = random.Random(3)
    seen = set()
    while len(seen) < len(SCENES):
        spec = scene_spec(rng)
        seen.add(spec.scene)
        assert draw(spec, rng).shape == (256, 256, 3) and caption(spec, rng)
