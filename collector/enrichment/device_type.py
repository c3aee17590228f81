"""Device type by user agent: phone, tablet, desktop, TV and so on.

The rules are those of the package `user-agents`. Before and after them stand tables of patterns, in order, of which the
first that fits decides: Rust's regular expressions, matched by the native half of `ua-parser` in time linear to the
text, which know no look-around. `python -m bench.collection` measures what they add.
"""

from __future__ import annotations

from ua_parser_rs import UserAgentExtractor
from user_agents.parsers import UserAgent

# Where Android's user agents name the model, with the language and the maker's name that may stand before it.
_MODEL = r"(?:Android|Adr)[ /]?[\d.]*; ?(?:[a-z]{2}[-_][A-Za-z]{2}(?:-[A-Z]{2})?; ?)?(?:[A-Za-z]+[ _-])?"
# Sizes in inches that televisions are sold in, and are named after.
_INCHES = r"(?:19|20|22|24|28|32|39|40|42|43|48|49|50|55|58|60|65|70|75|77|85|86)"

CORRECTIONS: tuple[tuple[str, str], ...] = (
    # Tablets and phones whose names hold a word of the televisions below.
    ("mobile", r"RIVIERA|TECNO |Letv |STV100|\bHTV\d|W-[KPV]\w+-TV|SM-G\d|LG-H9|KAZAM TV|DROIDZ|KD50|TVPhone"),
    ("tablet", r"FRESH SMART TV|BNTV|[PT]\d0HD|BTV-|SmartView|KM(?:0[78]|10)\d\d|(?i:lifetab|touchpad)"),
    (
        "tv",
        (
            r"(?i:smart[-_ ]?tv|hbb-?tv|apple ?tv|\btvos|google ?_?tv|andr[o0]id ?tv|nettv|inettv|opera tv|"
            r"\bdtv\b|\bdtv;|webtv|bravia|web0s|netcast|netrange|viera|crkey|chromecast|roku|vidaa|"
            r"tizen.{1,60}\btv\b|large screen|espial|\bsonydtv|sonyce|ce-html|maple ?\d|\bstb\b|stbapp|"
            r"\bmag\d{3}|brightsign|kreatv|\bomi/\d|\bmb\d{2,3}/\d|aquos-?b|aquos-as|vizio|\btivo|gw-device|"
            r"\b_?tv_|tbrowser|dunehd|coolita|astro;|kylo/|xbmc|kodi/|silktv|whale ?tv|titanos|"
            r"playstation [345]|playstation4|xbox|nintendo (?:wii|switch)|sagemcom|dvbc?_|sharp tv|"
            r"nvidia shield|shield andr)"
        ),
    ),
    (
        "tv",
        (
            r"AFT[A-Z0-9]{1,10}(?: Build|[;)])|; ?(?:Mi)?(?:TV|BOX)[-_ 0-9A-Z]*(?: Build|[;)])|"
            r"Build/[A-Z]T[A-Z]\d\.\d{6}"
        ),
    ),
    (
        "tv",
        _MODEL
        + (
            r"(?:[\w.+-]+[ _-])*?(?i:(?:[a-z]*[^d\W]tv|(?:tv|atv|ott|stb|uhd|4k|8k|smart4k)(?:[-_]?\w{0,6})?|"
            r"tvbox|box|\w+box|stick|dongle|streamer|shell)\b)"
        ),
    ),
    (
        "tv",
        _MODEL
        + (
            r"(?:A95X|H96(?:[ _]|M|m|p)|X96(?:[ _Qm)M]|mini)|T95|TX[359][ _)]|Tanix|Beelink|GT-?King|GT1|"
            r"Formuler|U(?:goos|GOOS)|VONTAR|Mecool|K[MD]\d|MINIX|Nexus Player|KANT-|EC6108|DV8|DV9|NV[57]\d\d|"
            r"KM\d|INVIN|EVPAD|MNBP|SEI\d|MiBOX|MiTV|GTX-|HiSmart|OLTO|NEXON|MATADOR|Matador|XDS|CVTE|VHIX|"
            r"MLT\d\d|TDTV|ERISSON|MYSTERY_TV|AKAI|GR\d{5}|K(?:I|II|III) P|M8S|NEO-[XUZ]|XLR\d|GO700|Gazal|"
            r"LimeT|N32|VMP|TD\d\dU|Eagle |NETTA|R68|XR\d{4}|ATOM-\d|BAFF|HIBERG|Hyundai \d|CADENA|DIGIFORS|"
            r"HIPER MEDIA|DREAMSTAR|Ozone|Movie|Movix|TOUCAN|SWG|VIP\d{4}|QM\d{3}|TPM\d{3}|era8K|LU-V|CT-8\d{3})"
        ),
    ),
    (
        "tv",
        _MODEL
        + r"(?:[A-Za-z]{1,10}[-_])*(?:LED|QLED|LE|LT|T[QDFV]|TF-LED|PT|PU|[FHUTPLK])?[-_]?"
        + _INCHES
        + r"[-_]?(?:[A-Z]{1,5}[-_]?[A-Z]?\d{2,4}|H[DF]|F[SU]|U[SHP]|[FHU]0?\d|LEX|Y|[A-Z]{2,5}Y\d|SMART|ST\d)",
    ),
    (
        "tv",
        (
            r"\(Linux (?:mips|sh4)|Linux armv7l\) AppleWebKit/[\d.]+ \(KHTML, like Gecko\) (?:QtWebEngine|"
            r"Chrome/[\d.]+ Safari/[\d.]+ OPR)"
        ),
    ),
    (
        "desktop",
        (
            r"(?i:chromebook|aspire|inspiron|latitude|vostro|elitebook|travelmate|satellite|lifebook|pixelbook|"
            r"thinkpad|easynote)"
        ),
    ),
    ("mobile", r"(?i:coolpad|padfone|wpdesktop|lumia)"),
    (
        "tablet",
        (
            r"(?i:ipad|kindle|silk/.*(?:kf[a-z]{2,}|accelerated)|\bkf[a-z]{2,5}(?: build|[;)])|mediapad|nook|"
            r"pocketbook|surftab|/apad\b|htc[ _]flyer|dell streak)"
        ),
    ),
    ("tablet", _MODEL + r"(?:[\w.+-]+[ _-])*?(?i:(?:\w{0,12}tab\w{0,8}|\w{0,8}[a-z]?pad\w{0,8}|slate|iplay\w*)\b)"),
    (
        "tablet",
        _MODEL
        + (
            r"(?:(?:SAMSUNG[ -])?(?:SM-[TPX]\d|GT-P\d|GT-N(?:80|51))|(?:Lenovo )?(?:TB\d?-|TB\d{3}|YT\d?-|"
            r"PB-6505|A7600|B[68]000|S6000)|PM[TP]\d{4}|TZ\d{3}|MID[-C]?\d|PMID|RCT\d|RC7|NX[MA]\d|OPD\d{4}|"
            r"[A-Z][a-zA-Z]{2}\d?K?-W\d{1,2}\b|(?:AGS|BAH|KOB|JDN|BTV|SHT|VRD|CMR|SCM|MRX|MRR|DBY|BGO|AGR|GEM|"
            r"CPN|MON|GOT|HDL|BZ[A-Z]|Kobe|KRJ|TGR|ELN)\d?K?-[A-Z]{1,2}\d|BG2-|T1-\d{3}|M2-\d|"
            r"(?:[\w. ]+[ _])?(?:TS|TT|PS|CS|CT|NS|WS|HS|SS)\d{4}[A-Z]{2}\b|(?:\w+ )?[TD]A\d[A-Z]\d[A-Z]\d{2}|"
            r"[89]\d{3}[A-Z](?:_[A-Z]{2,3})?\b|80[589]\d_|C(?:07|08|10)\d{3,4}|MFC\d{3}|AN\d{1,2}[A-Z]?G\d|"
            r"(?:QS|RC|VM|LC|MT|BC)\d{4}[A-Z]|(?:B[13]|A[13])-[A8-9]\d|B1-7|ME\d{3}|K0[01]\w\b|P0\d\w\b|TF\d{3}|"
            r"T[123]0(?:Mini|Plus|Ultra|E|S|Pro|Max)|R?MD[-_]\d{3}|TPC|NT-3\d|Readboy|X1101|T\d0 |OT\d|RT\d|OKT|"
            r"NP01J|PO\d{5}|A10[013]\b|AX10P|Numy|NUMY|Viva_?H?\d|IdeaTab|FreeMe|Pixus|ALFA|DARWIN|FAUST|KANT\d|"
            r"LIVINGSTONE|VOLTA|MC_|Lomonosov|Poke\d|LG-V\d{3}|Surface Duo|Archos (?:[789]|10)|EX\d[SX]|Excer|"
            r"BMAX|TC970|I1[01]_|M-[MS]P\d|10\d{7}|U1005|T1001|(?:bq|BQ)(?:ru)?-[1789][01]\d{2}|KT\d{3}Pro|"
            r"S\dFE|CONTIXO|CX-?10)"
        ),
    ),
    # An app of Facebook's that says nothing else is a telephone's.
    ("mobile", r"\bMobi|mobile|dv\(iPh|MIDP|UP\.(?:Browser|Link)|Opera M(?:ini|obi)|^\[FBAN/"),
    ("mobile", r"(?i:mqqbrowser/mini|ucweb|psp)"),
    # Android without the word Mobile is a tablet, by Chrome's rule; makers of these phones leave it out all the same.
    (
        "mobile",
        _MODEL
        + (
            r"(?:RMX\d{4}|V\d{4}|Archos [45]|CPH\d{4}|P[A-H][A-Z][MTH]\d0|A\d{4}\b|SM-[AFGJNSM]\d|GT-[IS]\d|"
            r"LG-[A-UW-Z]|[A-Z]{3}-(?:AL|AN|LX|TN|L|N)\d|T00|L00|ME371|Iris|iQ\d|KLIPAD|KORIDY|M-MP7|SHV-|SHW-|"
            r"SC[GV]\d|Dialog|XT\d{4}|Pixel \d|Redmi|[Mm]oto)"
        ),
    ),
    ("mobile", r"Release/\d"),
)
"""Class and pattern, in order: where labelled user agents show the rules of `user-agents` wrong or silent."""

REMAINDER: tuple[tuple[str, str], ...] = (
    ("mobile", r"(?i:nokia|brew|docomo|webos/[12]|obigo)"),
    ("tablet", r"(?i:android)"),
    (
        "desktop",
        (
            r"(?i:windows|macintosh|mac_powerpc|\blinux|x11|os/2|beos|haiku|amiga|openvms|inferno|"
            r"win(?:10|9|3|nt))"
        ),
    ),
)
"""What is tried where those rules say nothing."""


class DeviceTypeClassifier:
    """Tells the class of a device by the rules of `user-agents`, and by the two tables where those are not enough."""

    def __init__(self) -> None:
        self._corrections = _extractor(CORRECTIONS)
        self._remainder = _extractor(REMAINDER)

    def read(self, agent: UserAgent) -> str:
        """Return desktop, mobile, tablet, tv, or an empty text when `agent` does not say."""
        found = self._corrections.extract(agent.ua_string)
        if found is not None:
            return found.family
        if agent.is_tablet:
            return "tablet"
        if agent.is_mobile:
            return "mobile"
        if agent.is_pc:
            return "desktop"
        found = self._remainder.extract(agent.ua_string)
        return found.family if found is not None else ""


def _extractor(table: tuple[tuple[str, str], ...]) -> UserAgentExtractor:
    return UserAgentExtractor((pattern, kind, None, None, None, None) for kind, pattern in table)
