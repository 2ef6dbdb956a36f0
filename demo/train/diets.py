"""What each of the model's stages learns from."""

from __future__ import annotations

from dataclasses import replace

from demo.data.generator import SHADED, SHADED_SHARE
from demo.data.lessons import Lessons
from demo.train.conversation import AROUND
from demo.train.recipe import STAGE3_LANGUAGE
from demo.train.stages import ALL_ALIKE, CODES_TOO, SHAPES_MOSTLY, SHAPES_RATHER, Diet, Mixture

WARM_UP = 0.3  # of stage 2, over which the share of language sinks
SHAPES_FIRST = 0.5  # of stage 3, over which the share of pages sinks

# Once more, with other pictures and as many lessons to the end.
AGAIN = Diet(
    Mixture(STAGE3_LANGUAGE, 0),
    Mixture(0.3, 0),
    lessons=Lessons(print_share=0.1, drill_share=0.4, located_share=0.45, most_rows=7),
    makers=SHAPES_MOSTLY,
    most=16,
    first=2_000_000,
)
# What still misses its bars, by itself; in between everything else alike.
COUNTS = replace(
    AGAIN,
    reading=Mixture(0.45, 0),
    lessons=Lessons(
        print_share=0.03,
        drill_share=0.15,
        located_share=0.02,
        counted_share=0.5,
        signs_share=0.25,
        most_rows=7,
    ),
    is_asked=True,
    is_pointed=True,
    makers=ALL_ALIKE,
    first=6_000_000,
    objects=0.05,
    worth={"code": 2.0, "count": 2.5, "meter": 1.25, "shape": 1.5, "small_print": 0.5, "box": 0.5},
)
# Colours are told apart that no picture has together: by other pictures, and from those without a name.
APART = replace(
    COUNTS,
    lessons=replace(COUNTS.lessons, counted_share=0.55, signs_share=0.2, nameless_share=0.5),
    is_across=True,
    first=7_000_000,
    worth={**COUNTS.worth, "code": 1.5, "meter": 1.5, "receipt": 1.5},
)
HEED = replace(APART, is_undistracted=True, first=8_000_000)


def diet_of(stage: str, steps: int, language: float) -> Diet:
    """`language` is the final share in stage 2."""
    diets = {
        "stage1": Diet(Mixture(0.0, 0), Mixture(0.85, 0), 0.5, AROUND),
        "stage2": Diet(Mixture(language, round(steps * WARM_UP)), Mixture(0.7, 0), 0.5, AROUND),
        # Answers and end tokens only. Print is read by now and shapes are not: pages are mostly shapes, and fewer
        # and fewer.
        "stage3": Diet(
            Mixture(STAGE3_LANGUAGE, 0),
            Mixture(0.1, round(steps * SHAPES_FIRST)),
            lessons=Lessons(print_share=0.15, most_rows=7),
        ),
        # Stage 3 goes on, with fresh pictures that are mostly scenes of shapes, and with lessons on where they lie.
        "scenes": replace(
            AGAIN,
            reading=Mixture(0.35, round(steps * SHAPES_FIRST)),
            lessons=Lessons(print_share=0.1, drill_share=0.35, located_share=0.45, most_rows=7),
            first=1_000_000,
        ),
        "again": AGAIN,
        # The picture's tokens are asked where they are.
        "places": replace(AGAIN, is_asked=True, first=3_000_000),
        # And answers are told where to look. Meters and codes, which still get better, come more often.
        "looks": replace(AGAIN, is_asked=True, is_pointed=True, makers=SHAPES_RATHER, first=4_000_000),
        # As many codes as shapes, and counts by themselves; what is known counts less.
        "polish": replace(
            AGAIN,
            reading=Mixture(0.3, 0),
            lessons=Lessons(
                print_share=0.05, drill_share=0.45, located_share=0.1, counted_share=0.35, most_rows=7
            ),
            is_asked=True,
            is_pointed=True,
            makers=CODES_TOO,
            first=5_000_000,
            objects=0.05,
            worth={"code": 2.0, "count": 1.5, "meter": 1.5, "shape": 1.5, "small_print": 0.5},
        ),
        "counts": COUNTS,
        "apart": APART,
        # What counts heeds nothing else on its way; then with shades without a name in most pictures of shapes, whatever is asked of them.
        "heed": HEED,
        "shades": replace(
            HEED,
            lessons=replace(HEED.lessons, nameless_share=SHADED_SHARE, nameless_drills=SHADED_SHARE),
            makers=tuple(SHADED if name == "shapes" else name for name in HEED.makers),
            first=9_000_000,
        ),
    }
    return diets[stage]
