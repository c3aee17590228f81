"""Texts of the privacy notice, by language. Each must be true of the program."""

# ruff: noqa: E501 -- sentences, one a line where they fit
from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from collector.sites.registry import Policy

Texts = tuple[str, ...]


class NoticeTexts(msgspec.Struct, frozen=True, kw_only=True):
    """One language's sentences."""

    title: str
    who_title: str
    who: str
    missing_controller: str
    missing_contact: str
    missing_hosting: str
    why_title: str
    why: Texts
    what_title: str
    what: Mapping[Policy, str]
    collected: Texts
    keys: str
    datacenter: str
    never_title: str
    never: Texts
    legal_title: str
    legal: Mapping[Policy, Texts]
    kept_title: str
    kept_days: str
    kept_today: str
    kept: Texts
    cookie_title: str
    cookie: Mapping[Policy, str]
    recipients_title: str
    recipients: str
    hosting: str
    rights_title: str
    rights_intro: str
    withdrawal: str
    rights: Texts
    complaint_title: str
    complaint: str
    changes_title: str
    version: str
    first_version: str
    later_version: str
    reworded: str
    nothing: str
    labels: Mapping[str, str]
    """Names of the facts whose change makes a new version."""


ENGLISH: Final = NoticeTexts(
    title="How visits to {site} are counted",
    who_title="Who is responsible",
    who="Responsible for the statistics of {site} is {controller}. Contact: {contact}.",
    missing_controller="[name of the organisation: to be filled in]",
    missing_contact="[e-mail or postal address: to be filled in]",
    missing_hosting="[country of the server and name of the hosting provider: to be filled in]",
    why_title="Why",
    why=(
        (
            "To see which pages are read, where readers come from and what kind of device they use, so that the site can "
            "be improved. The statistics are used for nothing else: not for advertising, not to follow individuals, not "
            "joined with other data."
        ),
    ),
    what_title="What is collected",
    what={
        "required": "Nothing before you have agreed, and nothing after you have said no. With your consent, for each "
        "page you open:",
        "limited": "Without your consent only a count: the page, the host name of the referring site, the kind of "
        "device, and the minute. It holds nothing that links two pages to the same visitor. "
        "With your consent, for each page you open:",
        "exempt": "Unless you have objected, for each page you open:",
    },
    collected=(
        "time, and the address of the page without its query; e-mail addresses, long numbers and codes are replaced",
        "the page that your visit began on, and the address of the page that referred you, without its query",
        (
            "campaign tags in the link that you followed (utm_source and the like), and the kind of click identifier but "
            "never its value"
        ),
        "country, told from your browser's time zone or else from the network address",
        "family and major version of browser and operating system, kind of device, class of window width",
        "how long the page was looked at and how far it was scrolled",
        "what the site itself counts, such as a click on a download or a completed form, without its content",
        "the kind of consent under which this was collected",
        "a number for your visits of the day, made from network address, browser and site under a random key",
    ),
    keys="the parts {keys} of a page's query",
    datacenter="whether your network address belongs to a data center, but not the address",
    never_title="What is never stored",
    never=(
        "your network address (IP address): it is used in memory for a moment and reaches no disk and no log",
        "the text that your browser describes itself by (user agent)",
        "names, e-mail addresses, accounts or what you write",
        "any identifier in your browser",
    ),
    legal_title="Legal basis",
    legal={
        "required": (
            (
                "Your consent: article 6(1)(a) of the General Data Protection Regulation, and in Sweden chapter 9, "
                "section 28 of the Electronic Communications Act (2022:482). You can withdraw it at any time; what was "
                "done before stays lawful."
            ),
        ),
        "limited": (
            (
                "For what is collected with your consent: your consent, article 6(1)(a) of the General Data Protection "
                "Regulation, and in Sweden chapter 9, section 28 of the Electronic Communications Act (2022:482). You can "
                "withdraw it at any time."
            ),
            "For the bare count: the legitimate interest in knowing which pages are read, article 6(1)(f).",
        ),
        "exempt": (
            (
                "The legitimate interest in knowing how the site is used, article 6(1)(f) of the General Data Protection "
                "Regulation. The operator relies on an exemption from consent for audience measurement, such as the French "
                "authority's; whether one applies in your country is for the operator to know. You can object at any time."
            ),
        ),
    },
    kept_title="How long it is kept",
    kept_days="Single events are deleted {days} days after the day they are from.",
    kept_today="Single events are deleted when the day they are from is over.",
    kept=(
        (
            "The random key of a day is destroyed when the day is over, here and on every other site that "
            "the same server counts for. From then on nobody, the operator included, can tell which events were yours, "
            "or that two days had the same visitor."
        ),
        "Sums per day (so many visits to a page) remain. They are about nobody.",
    ),
    cookie_title="Cookie",
    cookie={
        "required": "One cookie, tyst_consent, holds your choice (granted, denied or excluded) for about 13 months. "
        "It is set when you choose, and nothing else is stored in your browser.",
        "limited": "One cookie, tyst_consent, holds your choice (granted, denied or excluded) for about 13 months. "
        "It is set when you choose, and nothing else is stored in your browser.",
        "exempt": "No cookie, unless you make a choice: then tyst_consent holds it (granted, denied or excluded) for "
        "about 13 months. Nothing else is stored in your browser.",
    },
    recipients_title="Who gets it, and where it is",
    recipients="Nobody outside. The statistics program, Tyst, is run by the operator and sends nothing to anybody.",
    hosting="Server: {hosting}.",
    rights_title="Your rights",
    rights_intro="At {page} you can do the following yourself, without an account, until the day's key is destroyed; "
    "the page says when. Later it can no longer be told what was yours, so that nobody can do it for you either "
    "(article 11).",
    withdrawal="A no to a banner on {site}, or on that page, ends the collection at once and erases what is held: your "
    "browser says so to the server once, and nothing else after it.",
    rights=(
        "access: see what is held about the browser you are using",
        "portability: take it along as JSON or CSV",
        "erasure: have it erased, also from the database's files",
        (
            "withdrawal and objection: switch collection off, for good if you like. Global Privacy Control and Do Not "
            "Track in your browser are followed, whatever you have chosen here"
        ),
        (
            "rectification and restriction: what is held are observations that you can erase; write to the contact above "
            "if you think one is wrong or should not be used for now"
        ),
    ),
    complaint_title="Complaints",
    complaint="You may complain to the data protection authority of your country; in Sweden that is "
    "Integritetsskyddsmyndigheten (the Swedish Authority for Privacy Protection), imy.se, imy@imy.se, "
    "Box 8114, 104 20 Stockholm.",
    changes_title="Version and changes",
    version="Version {number} ({digest}), in force since {day}.",
    first_version="Version {number}, {day}: first version",
    later_version="Version {number}, {day}: {what}",
    reworded="the text was revised",
    nothing="none",
    labels={
        "consent": "When data is collected",
        "retention_days": "Days that single events are kept",
        "timezone": "Time zone by which days end",
        "controller": "Who is responsible",
        "contact": "Contact",
        "hosting": "Server",
        "query_keys": "Parts of a page's query that are kept",
        "datacenter": "Mark on visits from data centers",
    },
)

SWEDISH: Final = NoticeTexts(
    title="Så räknas besök på {site}",
    who_title="Vem som ansvarar",
    who="Personuppgiftsansvarig för statistiken på {site} är {controller}. Kontakt: {contact}.",
    missing_controller="[organisationens namn: ska fyllas i]",
    missing_contact="[e-post eller postadress: ska fyllas i]",
    missing_hosting="[serverns land och driftleverantörens namn: ska fyllas i]",
    why_title="Varför",
    why=(
        (
            "För att se vilka sidor som läses, varifrån läsarna kommer och vilken sorts enhet de använder, så att "
            "webbplatsen kan bli bättre. Statistiken används inte till något annat: inte till reklam, inte för att följa "
            "enskilda, och den samkörs inte med andra uppgifter."
        ),
    ),
    what_title="Vad som samlas in",
    what={
        "required": "Ingenting innan du har sagt ja, och ingenting efter att du har sagt nej. Med ditt samtycke, för "
        "varje sida du öppnar:",
        "limited": "Utan ditt samtycke bara en räkning: sidan, den hänvisande webbplatsens namn, sorts enhet och "
        "minuten. Den innehåller inget som kopplar två sidor till samma besökare. "
        "Med ditt samtycke, för varje sida du öppnar:",
        "exempt": "Om du inte har invänt, för varje sida du öppnar:",
    },
    collected=(
        "tid, och sidans adress utan frågedel; e-postadresser, långa nummer och koder byts ut",
        "sidan där ditt besök började, och adressen till sidan som hänvisade dig, utan frågedel",
        "kampanjmärken i länken du följde (utm_source och liknande), och vilken sorts klickmärke men aldrig dess värde",
        "land, som framgår av webbläsarens tidszon eller annars av nätverksadressen",
        "familj och huvudversion av webbläsare och operativsystem, sorts enhet, klass av fönsterbredd",
        "hur länge sidan visades och hur långt den rullades",
        "det som webbplatsen själv räknar, till exempel en nedladdning eller ett skickat formulär, utan innehållet",
        "vilken sorts samtycke det samlades in under",
        (
            "ett nummer för dina besök under dagen, gjort av nätverksadress, webbläsare och webbplats under en "
            "slumpmässig nyckel"
        ),
    ),
    keys="delarna {keys} av en sidas frågedel",
    datacenter="om din nätverksadress hör till ett datacenter, men inte adressen",
    never_title="Vad som aldrig sparas",
    never=(
        "din nätverksadress (IP-adress): den används ett ögonblick i minnet och når ingen disk och ingen logg",
        "texten som din webbläsare presenterar sig med (user agent)",
        "namn, e-postadresser, konton eller det du skriver",
        "någon identifierare i din webbläsare",
    ),
    legal_title="Rättslig grund",
    legal={
        "required": (
            (
                "Ditt samtycke: artikel 6.1 a i dataskyddsförordningen och 9 kap. 28 § lagen (2022:482) om elektronisk "
                "kommunikation. Du kan återkalla det när som helst; det som gjordes innan förblir lagligt."
            ),
        ),
        "limited": (
            (
                "För det som samlas in med ditt samtycke: ditt samtycke, artikel 6.1 a i dataskyddsförordningen och "
                "9 kap. 28 § lagen (2022:482) om elektronisk kommunikation. Du kan återkalla det när som helst."
            ),
            "För den blotta räkningen: det berättigade intresset av att veta vilka sidor som läses, artikel 6.1 f.",
        ),
        "exempt": (
            (
                "Det berättigade intresset av att veta hur webbplatsen används, artikel 6.1 f i dataskyddsförordningen. "
                "Den ansvarige stödjer sig på ett undantag från samtycke för besöksmätning, som den franska myndighetens; "
                "om ett sådant gäller i ditt land är den ansvariges sak att veta. Du kan invända när som helst."
            ),
        ),
    },
    kept_title="Hur länge det sparas",
    kept_days="Enskilda händelser raderas {days} dagar efter dagen de kommer från.",
    kept_today="Enskilda händelser raderas när dagen de kommer från är slut.",
    kept=(
        (
            "Dagens slumpmässiga nyckel förstörs när dagen är slut, här och på alla andra "
            "webbplatser som samma server räknar för. Därefter kan ingen, inte heller den ansvarige, veta vilka "
            "händelser som var dina eller att två dagar hade samma besökare."
        ),
        "Summor per dag (så många besök på en sida) finns kvar. De handlar inte om någon.",
    ),
    cookie_title="Kaka",
    cookie={
        "required": "En kaka, tyst_consent, håller ditt val (granted, denied eller excluded) i ungefär 13 månader. "
        "Den sätts när du väljer, och inget annat lagras i din webbläsare.",
        "limited": "En kaka, tyst_consent, håller ditt val (granted, denied eller excluded) i ungefär 13 månader. "
        "Den sätts när du väljer, och inget annat lagras i din webbläsare.",
        "exempt": "Ingen kaka, om du inte gör ett val: då håller tyst_consent det (granted, denied eller excluded) i "
        "ungefär 13 månader. Inget annat lagras i din webbläsare.",
    },
    recipients_title="Vem som får det, och var det finns",
    recipients="Ingen utomstående. Statistikprogrammet Tyst drivs av den ansvarige och skickar inget till någon.",
    hosting="Server: {hosting}.",
    rights_title="Dina rättigheter",
    rights_intro="På {page} kan du själv göra följande, utan konto, tills dagens nyckel förstörs; sidan säger när. "
    "Sedan går det inte längre att veta vad som var ditt, så då kan ingen annan heller göra det åt dig (artikel 11).",
    withdrawal="Ett nej i en kakruta på {site}, eller på den sidan, avslutar insamlingen genast och raderar det som "
    "finns: din webbläsare säger det till servern en gång, och inget mer efter det.",
    rights=(
        "tillgång: se vad som finns om webbläsaren du använder",
        "dataportabilitet: ta det med dig som JSON eller CSV",
        "radering: få det raderat, också ur databasens filer",
        (
            "återkallelse och invändning: stäng av insamlingen, för gott om du vill. Global Privacy Control och Do Not "
            "Track i din webbläsare följs, vad du än har valt här"
        ),
        (
            "rättelse och begränsning: det som finns är iakttagelser som du kan radera; skriv till kontakten ovan om du "
            "tycker att någon är fel eller inte ska användas tills vidare"
        ),
    ),
    complaint_title="Klagomål",
    complaint="Du får klaga hos dataskyddsmyndigheten i ditt land; i Sverige är det Integritetsskyddsmyndigheten, "
    "imy.se, imy@imy.se, Box 8114, 104 20 Stockholm.",
    changes_title="Version och ändringar",
    version="Version {number} ({digest}), gäller sedan {day}.",
    first_version="Version {number}, {day}: första versionen",
    later_version="Version {number}, {day}: {what}",
    reworded="texten har setts över",
    nothing="inget",
    labels={
        "consent": "När uppgifter samlas in",
        "retention_days": "Dagar som enskilda händelser sparas",
        "timezone": "Tidszon som dagarna slutar efter",
        "controller": "Ansvarig",
        "contact": "Kontakt",
        "hosting": "Server",
        "query_keys": "Delar av en sidas frågedel som sparas",
        "datacenter": "Märkning av besök från datacenter",
    },
)

WORDS: Final[Mapping[str, NoticeTexts]] = {"en": ENGLISH, "sv": SWEDISH}
