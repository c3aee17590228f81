"""Bot detection by user agent, with the kind of bot.

The patterns are those of the package `is-bot`, with names it lacks and exceptions for people it would drop.
A user agent that is missing, or that only says nothing (`unknown UA`), is a person: privacy tools produce those.
"""

from __future__ import annotations

import re
from functools import lru_cache

import is_bot
import regex  # type: ignore[import-untyped]  # it ships no types

LONGEST = 512
"""Characters of a user agent that are looked at: patterns must not run over whatever a stranger sends."""

KINDS = ("ai", "monitor", "preview", "headless", "library", "crawler", "other")
"""What a program can be, in the order in which the names are tried; `other` is what is left."""

# Language models: training, search for an assistant, and assistants fetching on a person's behalf.
_AI = r"""
    gptbot | chatgpt | oai-(?:searchbot|adsbot) | \bopenai | ^sora[ ] | claude(?:bot|-) | anthropic |
    perplexity | bytespider | \bccbot | cohere |
    google-(?:extended|cloudvertexbot|agent|notebooklm|firebase|gemini) | notebooklm | gemini- |
    meta-(?:externalagent|externalfetcher|webindexer) | facebookbot | applebot-extended | amazonbot | amzn- |
    amazon-(?:kendra|qbusiness) | kendrabot | bedrockbot | novaact | mistralai | duckassist | youbot | ai2bot |
    diffbot | omgili | webzio | timpibot | imagesiftbot | deepseek | phindbot | iask | quillbot | cotoyogi |
    crawlspace | firecrawl | linerbot | manus-user | andibot | friendlycrawler | img2dataset | spawning-ai |
    knowledge[ ]ai | copilot | google-pinpoint | amazonbuyforme | kangaroo[ ]bot | \bgrok | xai- | huggingface |
    laion | langchain | llama | \bllm | \bgpt | panguBot | chatglm | qwen | kimi | yiyan | \bpoe(?:bot|-) |
    wrtn | bigsur\.ai | aihitbot | sbintuitions | semanticscholar | tavily | exabot-ai | jinaai | jina-?reader |
    devin | cursor/ | poggio | thinkbot | terracotta | shapbot | zanistabot | mycentralai
"""

# Is it up, is it fast, is its certificate valid.
_MONITOR = r"""
    uptime | pingdom | statuscake | site24x7 | 24x7 | newrelic | new[ ]relic | datadog | dynatrace | synthetic |
    catchpoint | monitor | monitis | monibot | lighthouse | pagespeed | page[ ]speed | gtmetrix | webpagetest |
    ptst[ /] | speedcurve | dareboost | nodeping | zabbix | nagios | check_http | checkly | betterstack |
    better[ ]stack | hetrix | freshping | pulsetic | updown\.io | montastic | honeybadger | elmah |
    blackbox[ ]exporter | prometheus | grafana | nixstats | netcraft | watchdog | statusgator | statuspage |
    health-?check | healthchecks | downnotifier | internetvista | netvigie | wormly | kube-probe | googlehc |
    elb-health | route[ ]?53 | rackspace | calibre | yellowlab | \bylt\b | yandexmetrika | cron-job | cronjob |
    robotalp | server[ ]density | sitescout | oh[ ]dear | ohdear | alertra | siteimprove | sucuri | \bping\b |
    ghost[ ]inspector | thousandeyes | munin | checkhost | uptimia | onlineornot | iplabel | rigor\b |
    uptrends | statusoid | ssl[ ]?labs | webmon | websitepulse | probely | happyapps | cula\b | exoscale |
    sentry | raygun | cloudflare-(?:healthchecks|speedtest|traffic)
"""

# Somebody has shared a link, and a network or a messenger makes a card of it.
_PREVIEW = r"""
    facebookexternalhit | facebookcatalog | ^facebook | twitterbot | linkedinbot | slackbot | slack-imgproxy |
    discordbot | discord | friendica | fedilist | telegrambot | ^whatsapp | skypeuripreview | \bteams | viber |
    pinterestbot | pinterest/ | redditbot | tumblr | snapchat | snap[ ]url | ^line/ | line-poker |
    kakaotalk-scrap | kakaostory | vkshare | mastodon | bluesky | cardyb | pleroma | misskey | lemmy | akkoma |
    embedly | iframely | link-?preview | linkpresentation | preview | unfurl | opengraph | microlink |
    peekalink | bitlybot | bitrix | xing-content | flipboard | quora[ ]link | embed | google-safety |
    googlemessages | imessage | snippet | notionembedder | trello | hubspot[ ]page | outbrain | nuzzel |
    buffer | hootsuite | synapse | signal-desktop | w3c_unicorn | yahoo[ ]link | ws-link
"""

# Browsers without a person in front of them.
_HEADLESS = r"""
    headless | phantomjs | slimerjs | puppeteer | playwright | selenium | webdriver | cypress | splash |
    zombie\.js | nightmare | electron-prerender | prerender | rendertron | casperjs | htmlunit | jsdom |
    testcafe | browserless | browshot | webkit2png | wkhtml | chromedp | chrome-lighthouse | screenshot |
    thumb | critical[ ]?css | penthouse
"""

# Libraries and command-line tools.
_LIBRARY = r"""
    ^curl | libcurl | ^wget | python | aiohttp | httpx | urllib | requests | scrapy | ^java | okhttp |
    apache-http | jakarta | ^go- | go-http | ^got\b | axios | node-fetch | undici | ^node | superagent | \bphp |
    guzzle | symfony | wordpress | libwww | lwp | perl | ruby | faraday | httparty | typhoeus | rest-client |
    ^ruby | mechanize | httpclient | http[_-]?client | http_request | winhttp | restsharp | dotnet |
    powershell | ^dart | dart:io | reqwest | hyper/ | rust | postman | insomnia | httpie | fasthttp | resty |
    colly | cfnetwork | nsurl | alamofire | volley | retrofit | ktor | unirest | jersey | ^lua | erlang |
    elixir | hackney | tesla | cpp-httplib | deno/ | bun/ | ^async | libsoup | http[_-]get | http::lite | zend |
    snoopy | wininet | msxml | synapse | nutch
"""

_CRAWLER = r"""
    bots?(?:\b|[_/-]) | bot | crawl | spider | slurp | scan | scrap | index | search | archiv | fetch | feed |
    rss | seo | harvest | google | yahoo | baidu | yandex | bing | sogou | naver | daum | mediapartners |
    teoma | ia_ | robot | larbin | grab | link | valid | \+?https?: | www\.
"""

# Programs that the package does not know (yet).
_ADDITIONS = r"""
    gtmetrix | miniature\.io | \bylt\b | turingos | assetnote | amzn- | amazon-kendra | prospectorbr |
    \breaver\b | yunjiankong | geckotrail | \bhlb/ | viber | nuzzel | zabbix | googleother | xrawler |
    panscient | coccoc | ia_archiver | anthropic | cohere | spawning | knowledge[ ]ai | amazon[ ]cloudfront |
    certificates | trust[ ]services | appsite | googleassoc | salesforce | zapier | sparkpost | sendgrid |
    shopify | zendesk | vaultpress | managewp | wpumbrella | websiteops | uptrends | nodeping | catchpoint |
    \bzmeu | browsershots | daumoa | duam | funnelback | happywing | bdfetch | jumio | gopay | swisscows |
    trellis | hello[ ]world | onetrust | termly | cookiehub | legalmonster | bling[ ]erp | fastdast |
    blackduck | safeassign | netsystemsresearch | webdriver
"""

# People's software that one of the patterns would take for a program: televisions, plug-ins of old browsers, phones,
# and apps of Meta's that name nothing but themselves.
_HARMLESS = r"""
    google[ _]?tv | webappmanager | \.?catcher[\d.]* | chromeframe | qqdownload[ ]?\d* | javaplatform |
    alphaserver | sogoumse | sogoumobilebrowser | metasr | capture\+ | google[ ]earth | large[ ]screen |
    applenews | ^\[FB(?:AN|_IAB)/[^\]]*\]$ | ^instagram[ ][\d.]+[ ]\((?:iphone|ipad)[^)]*\)$
"""


def _joined(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.VERBOSE | re.IGNORECASE)


class BotDetector:
    """Names the kind of program behind a user agent; remembers the last `capacity` answers."""

    def __init__(self, capacity: int = 10_000) -> None:
        patterns = is_bot.Bots().patterns
        # Patterns that call any text without a browser's shape a program, whatever it says.
        shapes = {p for p in patterns if any(regex.search(p, text, regex.IGNORECASE) for text in UNKNOWN)}
        self._names = regex.compile("|".join(sorted(patterns - shapes)), regex.IGNORECASE)
        self._shapes = regex.compile("|".join(sorted(shapes)), regex.IGNORECASE)
        self._additions = _joined(_ADDITIONS)
        self._harmless = _joined(_HARMLESS)
        tables = zip(KINDS, (_AI, _MONITOR, _PREVIEW, _HEADLESS, _LIBRARY, _CRAWLER), strict=False)
        self._kinds = [(kind, _joined(table)) for kind, table in tables]
        self._known = lru_cache(maxsize=capacity)(self._judge)

    def kind(self, user_agent: str) -> str:
        """Return one of `KINDS`, or an empty text for a person."""
        return self._known(user_agent[:LONGEST])

    @property
    def remembered(self) -> int:
        """How many user agents are in memory now."""
        return self._known.cache_info().currsize

    def _judge(self, user_agent: str) -> str:
        if not self._is_program(user_agent):
            return ""
        return next((kind for kind, table in self._kinds if table.search(user_agent)), "other")

    def _is_program(self, user_agent: str) -> bool:
        if self._additions.search(user_agent):
            return True
        text = self._harmless.sub("", user_agent)
        if self._names.search(text):
            return True
        if _VERSIONED.search(text):
            return self._shapes.search(text) is not None
        # Words alone have no shape to judge: they are a program's when they name one.
        return any(table.search(text) for _, table in self._kinds)


UNKNOWN = ("unknown UA", "a" * LONGEST)
"""User agents that say nothing, and belong to people as far as anyone can tell."""

_VERSIONED = re.compile(r"[/\d]")
