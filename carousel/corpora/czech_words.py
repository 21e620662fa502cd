"""The words of the generated English–Czech corpus, with every form that a sentence may need.

A form that no rule below makes from others is written out; rules only add endings that know no exception here.
"""

from __future__ import annotations

from dataclasses import dataclass

# An agreeing word takes one of six forms: the genders in the singular, in the plural masculine animate, masculine inanimate and
# feminine together, and neuter.
CLASSES = ("ms", "fs", "ns", "mp", "fp", "np")
Paradigm = dict[str, str]


def same(forms: str) -> Paradigm:
    """Return six forms, in the order of ``CLASSES``."""
    return dict(zip(CLASSES, forms.split(), strict=True))


def participle(masculine: str, feminine: str) -> Paradigm:
    """Return the forms of a participle: ztratil, ztratila: -o, -i, -y, -a."""
    stem = feminine[:-1]
    return same(f"{masculine} {feminine} {stem}o {stem}i {stem}y {feminine}")


def adjective(masculine: str, plural: str) -> Paradigm:
    """Return the forms of an adjective: unavený; unavení: -á, -é, …, -é, -á."""
    stem = masculine[:-1]
    return same(f"{masculine} {stem}á {stem}é {plural} {stem}é {stem}á")


def finite(one: str, many: str) -> Paradigm:
    """Return a verb's third persons."""
    return same(f"{one} {one} {one} {many} {many} {many}")


RAD = same("rád ráda rádo rádi rády ráda")
WHO = same("který která které kteří které která")
WHOM = same("kterého kterou které které které která")  # an inanimate masculine singular is as the nominative
IS, WAS, WILL = finite("je", "jsou"), participle("byl", "byla"), finite("bude", "budou")
DETERMINERS = {  # the English ones by number
    ("my", "my"): same("můj moje moje moji moje moje"),
    ("our", "our"): same("náš naše naše naši naše naše"),
    ("this", "these"): same("tento tato toto tito tyto tato"),
}


@dataclass(frozen=True)
class Noun:
    """A noun or name: English and Czech, singular and plural nominative, accusative singular where it may be an object;
    the agreement ``classes`` of both numbers, and the pronoun of the singular."""

    english: tuple[str, str]
    czech: tuple[str, str]
    classes: tuple[str, str]
    kind: str
    animate: bool
    pronoun: str
    accusative: str = ""

    @property
    def gender(self) -> str:
        """The gender of the singular."""
        return self.classes[0][0]


@dataclass(frozen=True)
class Verb:
    """English base, third person and past; Czech infinitive, third persons, participle, and its reflexive word."""

    english: tuple[str, str, str]
    infinitive: str
    present: Paradigm
    past: Paradigm
    clitic: str


def _rows(table: str) -> list[list[str]]:
    return [[part.strip() for part in line.split("|")] for line in table.strip().splitlines()]


_PEOPLE = """
m | boy kluk kluci, man muž muži, king král králové, uncle strýc strýcové, brother bratr bratři, waiter číšník číšníci
m | prince princ princové, monk mnich mniši, actor herec herci, husband manžel manželé, nephew synovec synovci
m | grandfather dědeček dědečkové, father otec otcové, son syn synové, teacher učitel učitelé, farmer sedlák sedláci
m | doctor lékař lékaři, soldier voják vojáci, sailor námořník námořníci, baker pekař pekaři, painter malíř malíři
m | neighbour soused sousedé, student student studenti, friend kamarád kamarádi, widower vdovec vdovci, guest host hosté
f | girl dívka dívky, woman žena ženy, queen královna královny, aunt teta tety, sister sestra sestry, bride nevěsta nevěsty
f | waitress servírka servírky, princess princezna princezny, nun jeptiška jeptišky, actress herečka herečky
f | wife manželka manželky, niece neteř neteře, grandmother babička babičky, mother matka matky, daughter dcera dcery
f | widow vdova vdovy, witch čarodějnice čarodějnice, maid služka služky, seamstress švadlena švadleny
n | baby miminko miminka, toddler batole batolata, lass děvče děvčata, child dítě děti
"""
_ANIMALS = """
m | dog pes psi, wolf vlk vlci, lion lev lvi, bear medvěd medvědi, bird pták ptáci, hedgehog ježek ježci
f | cat kočka kočky, fox liška lišky, cow kráva krávy, goat koza kozy, squirrel veverka veverky, hen slepice slepice
n | kitten kotě koťata, puppy štěně štěňata, lamb jehně jehňata, foal hříbě hříbata, chick kuře kuřata, calf tele telata
"""
_THINGS = """
m | hat klobouk klobouky klobouk, letter dopis dopisy dopis, coat kabát kabáty kabát, key klíč klíče klíč
m | picture obraz obrazy obraz, ring prsten prsteny prsten, cake dort dorty dort, table stůl stoly stůl
f | book kniha knihy knihu, chair židle židle židli, lamp lampa lampy lampu, map mapa mapy mapu, bag taška tašky tašku
f | bottle láhev láhve láhev, shirt košile košile košili, candle svíčka svíčky svíčku, guitar kytara kytary kytaru
n | car auto auta auto, bicycle kolo kola kolo, pen pero pera pero, mirror zrcadlo zrcadla zrcadlo
n | hammer kladivo kladiva kladivo, armchair křeslo křesla křeslo, apple jablko jablka jablko
"""
_PLURALS = {"man": "men", "woman": "women", "wife": "wives", "child": "children", "wolf": "wolves", "calf": "calves"}
_PLURALS |= {"baby": "babies", "puppy": "puppies", "lass": "lasses", "fox": "foxes", "witch": "witches"}
_PLURALS |= {n: f"{n}es" for n in ("waitress", "princess", "actress", "seamstress")}
_PRONOUNS = {"m": "he", "f": "she", "n": "it"}


def _nouns(table: str, kind: str) -> list[Noun]:
    nouns = []
    for gender, words in _rows(table):
        for word in words.split(","):
            english, one, many, *accusative = word.split()
            animate = kind != "thing"
            plural = {"m": "mp" if animate else "fp", "f": "fp", "n": "np"}[gender]
            if one == "dítě":
                plural = "fp"  # ty děti
            pronoun = _PRONOUNS["f" if english == "lass" else gender] if kind == "person" else "it"
            pair = (english, _PLURALS.get(english, f"{english}s"))
            nouns.append(Noun(pair, (one, many), (f"{gender}s", plural), kind, animate, pronoun, *accusative))
    return nouns


PEOPLE, ANIMALS, THINGS = _nouns(_PEOPLE, "person"), _nouns(_ANIMALS, "animal"), _nouns(_THINGS, "thing")
_NAMED = {"m": "Petr Karel Pavel Tomáš Martin Jakub Ondřej Filip", "f": "Amanda Jana Eva Anna Tereza Hana Klára Lucie"}
NAMES = [
    Noun((n, n), (n, n), (f"{g}s", f"{g}p"), "name", True, _PRONOUNS[g]) for g, names in _NAMED.items() for n in names.split()
]

_VERBS = """
learn learns learned | učit učí učí | učil učila | se
laugh laughs laughed | smát směje smějí | smál smála | se
argue argues argued | hádat hádá hádají | hádal hádala | se
play plays played | hrát hraje hrají | hrál hrála | si
sing sings sang | zpívat zpívá zpívají | zpíval zpívala |
dance dances danced | tančit tančí tančí | tančil tančila |
paint paints painted | malovat maluje malují | maloval malovala |
cook cooks cooked | vařit vaří vaří | vařil vařila |
swim swims swam | plavat plave plavou | plaval plavala |
travel travels travelled | cestovat cestuje cestují | cestoval cestovala |
run runs ran | běhat běhá běhají | běhal běhala |
sleep sleeps slept | spát spí spí | spal spala |
work works worked | pracovat pracuje pracují | pracoval pracovala |
write writes wrote | psát píše píší | psal psala |
study studies studied | studovat studuje studují | studoval studovala |
jump jumps jumped | skákat skáče skáčou | skákal skákala |
wait waits waited | čekat čeká čekají | čekal čekala |
"""
VERBS = [
    Verb(
        (a, b, c),
        infinitive,
        finite(one, many),
        participle(masculine, feminine),
        clitic,
    )
    for en, present, past, clitic in _rows(_VERBS)
    for a, b, c in [en.split()]
    for infinitive, one, many in [present.split()]
    for masculine, feminine in [past.split()]
]
ANIMAL_VERBS = [v for v in VERBS if v.english[0] in ("play", "run", "sleep", "jump", "swim", "wait")]


def _pasts(text: str) -> dict[str, Paradigm]:
    participles = {}
    for part in text.split(","):
        english, masculine, feminine = part.split()
        participles[english] = participle(masculine, feminine)
    return participles


def _presents(text: str) -> dict[tuple[str, str], Paradigm]:
    verbs = {}
    for part in text.split(","):
        english, one, many = part.split()
        verbs[english, english.removesuffix("s")] = finite(one, many)
    return verbs


GETTING = _pasts(
    "lost ztratil ztratila, found našel našla, sold prodal prodala, bought koupil koupila, hid schoval schovala, "
    "brought přinesl přinesla, stole ukradl ukradla, forgot zapomněl zapomněla, drew nakreslil nakreslila, "
    "chose vybral vybrala"
)
ENCOUNTERS = _pasts("saw viděl viděla, met potkal potkala, invited pozval pozvala, praised pochválil pochválila")
KNOWING = _presents("knows zná znají, sees vidí vidí, loves miluje milují, admires obdivuje obdivují")
FALLING = _pasts("disappeared zmizel zmizela, fell spadl spadla, burned shořel shořela")
VANISHING = {k: v for k, v in FALLING.items() if k != "burned"}  # verbs of animals


def _adjectives(text: str) -> dict[str, Paradigm]:
    adjectives = {}
    for part in text.split(","):
        english, masculine, plural = part.split()
        adjectives[english] = adjective(masculine, plural)
    return adjectives


MOODS = _adjectives(
    "happy šťastný šťastní, sad smutný smutní, tired unavený unavení, hungry hladový hladoví, ill nemocný nemocní, "
    "cheerful veselý veselí, proud pyšný pyšní, curious zvědavý zvědaví, satisfied spokojený spokojení, "
    "careful opatrný opatrní, lazy líný líní, lonely osamělý osamělí, polite zdvořilý zdvořilí, angry rozzlobený rozzlobení"
)
ANIMAL_MOODS = {k: v for k, v in MOODS.items() if k in ("tired", "hungry", "ill", "curious", "careful", "lazy", "angry")}
QUALITIES = _adjectives(
    "old starý staří, young mladý mladí, little malý malí, tall vysoký vysocí, famous slavný slavní, poor chudý chudí, "
    "rich bohatý bohatí, brave statečný stateční, clever chytrý chytří"
)
ANIMAL_QUALITIES = {k: v for k, v in QUALITIES.items() if k in ("old", "young", "little", "clever", "brave")}
STATES = _adjectives(
    "new nový noví, expensive drahý drazí, beautiful krásný krásní, dirty špinavý špinaví, heavy těžký těžcí, "
    "cheap levný levní, red červený červení, white bílý bílí, broken rozbitý rozbití"
)


def _phrases(text: str) -> list[tuple[str, str]]:
    return [(a.strip(), b.strip()) for a, b in (part.split(":") for part in text.split(","))]


PLACES = _phrases(
    "near the forest: u lesa, near the lake: u jezera, near the river: u řeky, near the church: u kostela, "
    "near the mill: u mlýna, near the school: u školy, behind the church: za kostelem, behind the town: za městem, "
    "in the village: ve vesnici, in Prague: v Praze, in Brno: v Brně, in the mountains: v horách, in the town: ve městě, "
    "in the castle: na hradě, on the island: na ostrově, by the sea: u moře"
)
ORIGINS = _phrases(
    "from the village: z vesnice, from the town: z města, from Prague: z Prahy, from Brno: z Brna, "
    "from the mountains: z hor, from the island: z ostrova, from the castle: z hradu"
)
SPANS = _phrases("all day: celý den, all evening: celý večer, all night: celou noc, all summer: celé léto")
OPENINGS = {
    "past": _phrases("Yesterday: včera, Last year: loni, Once: jednou"),
    "future": _phrases("Tomorrow: zítra, Next year: příští rok, One day: jednoho dne"),
}
