"""What is written in the pictures: codes nobody can guess, words, goods and prices, each in one set only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from demo.data.split import Split, drawn, split_of

# 24 symbols that stay apart ten pixels tall; M and W would reach into their neighbours at that pitch
ALPHABET = "ABCDEFHJKLNPRTUVXYZ34789"
SHORTEST_CODE, LONGEST_CODE = 4, 6
LEAST_CENTS, MOST_CENTS = 120, 995
NUMBER = "number"  # the one kind of prices, meter readings and numbers in tables: each is in one set only

WORDS: tuple[str, ...] = tuple(
    """
    ACORN ACTOR AGENT ALARM ALBUM AMBER ANCHOR ANGLE APPLE APRON ARCADE ARCTIC ARENA ARROW ARTIST ATLAS
    ATTIC AUTUMN AVENUE BACON BADGE BAKER BANANA BANJO BARREL BASIN BASKET BEACH BEACON BEAVER BENCH BERRY
    BIRD BISON BLOCK BLOOM BOARD BOAT BOTTLE BRANCH BRASS BRICK BRIDGE BRONZE BROOK BRUSH BUCKET
    BUTTON CABIN CABLE CACTUS CAMEL CAMERA CANAL CANDLE CANOE CANYON CARPET CASTLE CEDAR CELLAR CHAIN CHALK
    CHERRY CIRCUS CLIFF CLOUD CLOVER COAST COMET COPPER CORAL COTTON CRANE CREEK DAISY DELTA DESERT
    DOCTOR DRAGON DRUM EAGLE EARTH ECHO ELBOW ENGINE FABRIC FALCON FARM FEAST FENCE FERRY FIDDLE FIELD FLAME
    FLINT FLUTE FOREST FROST GALAXY GARAGE GARDEN GARLIC GATE GINGER GLOVE GOAT GRAPE GRAVEL GUITAR
    HAMMER HARBOR HAZEL HERON HILL HOTEL ISLAND IVORY JACKET JUNGLE KETTLE KITE KNIGHT LADDER LAGOON LAKE
    LASER LEAF LEVEL LILAC LINEN LION LIZARD LOBBY LOCKET MAGNET MANGO MAPLE MARBLE MARKET MEADOW
    MELON METRO MINT MIRROR MOON MOTOR MUSEUM NAPKIN NEEDLE NICKEL NORTH NURSE OASIS OCEAN OFFICE OLIVE
    ONION ORANGE ORBIT OTTER OVEN OYSTER PADDLE PALACE PANDA PAPER PARK PARROT PEARL PENCIL PEPPER PIANO
    PILLOW PILOT PIRATE PLANET PLATE POCKET POND PORCH POTATO PRISM PUZZLE QUARTZ RABBIT RADIO RAVEN RIBBON
    RIVER ROBIN ROCKET ROSE RUBY SADDLE SAILOR SALMON SCHOOL SHELL SILVER SPIDER SPRING STATUE STONE STORM
    SUMMER SUNSET TEMPLE TICKET TIGER TIMBER TRAIN TULIP TUNNEL TURTLE VALLEY VELVET VIOLIN WAGON WALNUT
    WHALE WINDOW WINTER WIZARD WOLF YACHT ZEBRA
    """.split()
)
GOODS: tuple[str, ...] = tuple(
    "TEA HAM JAM OIL EGG MILK RICE SOUP SALT CAKE FISH PEAR PLUM SOAP CORN BREAD HONEY SUGAR PASTA LEMON"
    " WATER BUTTER CHEESE COFFEE".split()
)


def drawn_length(rng: np.random.Generator) -> int:
    return int(rng.integers(SHORTEST_CODE, LONGEST_CODE + 1))


def drawn_code(rng: np.random.Generator, split: Split, length: int) -> str:
    """A code of this set; nothing about it can be told from anything but its picture."""

    def draw() -> str:
        while True:
            text = "".join(ALPHABET[index] for index in rng.integers(0, len(ALPHABET), length).tolist())
            if may_be_said(split, text):
                return text

    return drawn(split, "code", draw)


@lru_cache(maxsize=3)
def words_of(split: Split) -> tuple[str, ...]:
    return tuple(word for word in WORDS if split_of("word", word) == split)


@lru_cache(maxsize=3)
def prices_of(split: Split) -> tuple[int, ...]:
    """In cents; what is bought together adds up to a price of the same set (see `receipts`)."""
    return tuple(cents for cents in range(LEAST_CENTS, MOST_CENTS + 1) if has_price(split, cents))


def has_price(split: Split, cents: int) -> bool:
    return split_of(NUMBER, number_key(price_text(cents))) == split


def number_key(text: str) -> str:
    """A printed number's key for `split_of(NUMBER, ...)`, whatever it is the number of."""
    return text.removeprefix("-")


def may_be_said(split: Split, text: str) -> bool:
    """Training says no number of several digits that another set asks about."""
    digits = text.strip("-.")
    is_number = len(digits) > 1 and digits.replace(".", "").isdecimal()
    return split != "train" or not is_number or split_of(NUMBER, number_key(digits)) == "train"


def price_text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def drawn_prices(rng: np.random.Generator, split: Split, count: int) -> list[int]:
    """So many different prices of this set, in cents."""
    prices = prices_of(split)
    return [prices[index] for index in rng.choice(len(prices), count, replace=False).tolist()]


def drawn_goods(rng: np.random.Generator, count: int) -> list[str]:
    return [GOODS[index] for index in rng.choice(len(GOODS), count, replace=False).tolist()]
