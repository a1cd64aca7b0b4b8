"""What the text of an SMTP reply can say: named concepts, each a pattern over the plain form of reply_text.py.

Most are two vocabularies of reply_words.py near each other in one sentence, in either order: "mailbox ... full",
"Postfach ... voll"; some are the fixed words of one server. reply_rules.py combines them; none decides by itself.

Invariants: no concept depends on another; none looks at codes, phases or providers. Pure.
"""

from typing import Final

from warmup_core.reply_words import (
    ACCOUNT,
    CONNECTIONS,
    DAY,
    DENIED,
    DOMAIN,
    EXCEEDED,
    FAST,
    FULL,
    GAP,
    HOUR,
    IP,
    LATER,
    LIMIT,
    LOGIN,
    MAIL,
    MAILBOX,
    MAILS,
    NOT_ALLOWED,
    OFF,
    PERSON,
    QUOTA,
    RECIPIENT,
    REFUSED,
    SECRET,
    SENDER,
    SENDS,
    SESSION,
    SHORT,
    SIZE,
    SPAM,
    STORAGE,
    TEMPORARY,
    TENANT,
    TOO_BIG,
    TOO_MANY,
    TROUBLE,
    UNKNOWN,
    WRONG,
    YOU,
    either,
    near,
    words,
)

_NOT_MAY: Final = "(?:not (?:allowed|permitted|authori[sz]ed)|unable)"
_NO_DOMAIN: Final = words(
    "not found, does not exist, doesn't exist, not exist, does not resolve, unresolvable, no mx, unknown, invalid, "
    "nicht gefunden, existiert nicht, gibt es nicht, n'existe pas, inexistant*, introuvable, no existe, inexistente, "
    "no encontrado, non esiste, non trovato, nao existe, nao encontrado, bestaat niet, niet gevonden, nie istnieje, "
    "nie znaleziono, не существует, не наиден*, 不存在, 无法解析, 存在しません, 見つかりません, 존재하지"
)
_WHO_IS_FULL: Final = words(
    "user, account, recipient, disk, disc, konto, benutzer, empfanger, compte, utilisateur, cuenta, usuario, conta"
)

CONCEPTS: Final[dict[str, str]] = {
    # whom the text names
    "our address": either(
        IP, r"client host|host network|remotehost|sending (?:mta|server|host)|per source|hl:[a-z]{3}",
        r"your (?:mail ?)?(?:server|host|mta|network)",
    ),
    "ip word": either(f"(?<!<){IP}", "client host|sending mta"),
    "tenant": TENANT,
    "domain": DOMAIN,
    "account": either(ACCOUNT, SENDER, "(?:for|client|by) <addr>"),
    "plain account": words(
        "account, konto, benutzerkonto, compte, cuenta, conta, аккаунт*, 账号, 账户, 帐号, 帐户, アカウント, 계정"
    ),
    "you": YOU,
    "sender": SENDER,
    "about them": either(
        r"recipient (?:account|mailbox|is|has)|inactive recipient|of the recipient|recipient's|(?:trying|tried) to reach",
        r"(?<![a-z])(?:mail|message)s? to (?:<addr>|this|the|that|user)|can ?not be delivered|not deliver",
        r"empf(?:a|ae)nger|destinat\w+|ontvanger|odbiorc|получател|收件人|收件者|宛先|受信者",
    ),
    # connections and servers
    "greylist": "gr[ea]ylist|graulist|liste grise|灰名单|グレイリスト|グレーリスト|temporary envelope failure",
    "session used up": either(
        near(either(TOO_MANY, LIMIT, EXCEEDED), SESSION),
        "(?:open|start|use) a new (?:session|connection)|mi:dmc|rp:drc",
    ),
    "idle": either(
        "connection expired|try reconnecting|time ?d? ?out",
        words("inactivity, idle, inaktivitat, inactivite, inactividad"),
    ),
    "trouble": either(
        TROUBLE, "tls required",
        near(words("server, service, system, host, resource, resources"),
             words("unavailable, not available, down, error, failure, problem")),
    ),
    "later": LATER,
    "temporary": TEMPORARY,
    "for good": "permanently|will not succeed",
    "checking address": "(?:verification|verify) in progress|unverified address|callout|being verified",
    "dns trouble": either(
        "temp ?error|temporary (?:dns|lookup|name)|dns (?:lookup )?(?:time|temp|failure)|lookup (?:timed|failure)",
    ),
    # rates and quotas
    "receives too much": either(
        near(RECIPIENT, words("receiv*")) + ".{0,80}(?:quick|fast|rate|limit|too m)",
        words("user, mailbox, account") + " is receiving",
        "receiving (?:mail|messages|email) (?:too|at a rate)|frequency of receiving|receiving[^.]{0,30}limited",
        f"{RECIPIENT} has (?:exceeded|reached)[^.]{{0,60}}" + words("message, messages, mails, emails, rate, receive*"),
        "(?:messages|mail|emails) (?:to|for) <addr>[^.]{0,40}" + words("deferred, excessive, too many, rate, limit"),
        "too many (?:messages|mails|emails) (?:for|to) (?:this|that|the) (?:recipient|user|mailbox)",
        near(RECIPIENT, words("erhalt, empfangt, recoit, recib*, riceve*, ricevendo, receb*, ontvangt, otrzymuj*, получает"))
        + f"[^.]{{0,40}}{either(TOO_MANY, FAST, LIMIT)}",
        "(?:收件人|收信人|收件者|对方)[^。]{0,12}(?:接收|收信|收到)[^。]{0,12}(?:过多|太多|过快|频|超|限)",
        "(?:宛先|受信者|相手)[^。]{0,16}受信[^。]{0,12}(?:多|頻|制限|上限|超)",
    ),
    "unusual rate": "unusual (?:rate|volume|amount)",
    "throttled sending": "throttling failure|max(?:imum)? sending rate|daily message quota",
    "long period": either(r"(?<!in )(?<!after )(?<!wait )(?<!in about )" + either(HOUR, DAY), r"per \d{4,6} ?s"),
    "too much": TOO_MANY,
    "sends": SENDS,
    "sending failed": near(
        words(
            "failure, failed, error, fehler, fehlgeschlagen, echec, echoue, fallo, falha, errore, mislukt, blad"
        ),
        words(
            "sending, send, senden, versand, versenden, envoi, envoyer, envio, enviar, invio, verzenden, wysylania"
        ),
    ),
    "fast": either(FAST, near(CONNECTIONS, either(TOO_MANY, LIMIT, EXCEEDED)), "mi:sfq|rp:qrc|hl:(?:icc|ifc|mep)"),
    "limit": either(
        near(LIMIT, EXCEEDED), near(TOO_MANY, MAILS),
        r"limit(?:ed)? (?:of|to) \d|max(?:imum)?(?: of)? \d+ |quota ?exceeded|overquota|submissionquota",
        near(EXCEEDED, words("number of messages, number of emails, allowed messages, messages allowed, messages per")),
        near(EXCEEDED, words("anzahl, nombre, numero, aantal, liczba, 数量, 次数, 件数, 通数")),
        "(?:mi:stc|rp:trc|hl:itc)",
    ),
    "too many recipients": either(
        TOO_MANY + r" (?:\w+ ){0,2}?" + words("recipients, recipient, rcpts, empfanger, empfaenger, destinataires"),
        TOO_MANY + " " + words("destinatarios, destinatari, ontvangers, odbiorcow, получателеи"),
        "(?:per|separate) transaction|reciplimit|rcpt numbers",
        "recipients (?:per|in (?:a|one|this)) (?:message|mail|email|transaction)",
        "收件人(?:数量)?(?:过多|太多)|宛先(?:の数)?が多すぎ",
    ),
    "too many logins": either(
        near(
            either(LOGIN, words("attempts, versuche, tentativ*, intentos, pogingen, prob, попыток, 尝试, 試行")),
            either(TOO_MANY, words("too often, too frequent*, zu oft, trop souvent, te vaak, zbyt czesto, 频繁, 频率")),
        ),
        "too many times|smtp auth error limit",
    ),
    # full mailboxes, short servers
    "mailbox full": either(
        near(MAILBOX, FULL),
        near(either(MAILBOX, RECIPIENT), STORAGE),
        near(either(MAILBOX, PERSON), near(STORAGE, EXCEEDED)),
        "too many (?:messages|mails) (?:on|in) (?:the |this )?(?:server|mailbox|inbox)",
        near(either(MAILBOX, PERSON), words("overquota, over its quota, over his quota, over storage")),
        near(MAILBOX, words("quota*, size, speicherplatz, groesse, grosse, taille, tamano, tamanho") + GAP + EXCEEDED),
        near(words("user, disk, storage, mailbox, inbox, allocated, account storage"), words("quota")) + GAP + EXCEEDED,
        EXCEEDED + GAP + words("storage, mailbox, disk") + " " + words("quota*, allocation, limit, allotment"),
        near(words("account, user, recipient"), words("out of storage, out of space, space has been used, storage is used")),
        words("account, user, mailbox") + " storage " + words("limit, quota"),
        "storage allocation|存储分配",
        near(words("空间, 空間, 容量"), words("不足, 超限, 超出, 超过, 已满, 满, 超過, 足り, オーバー")),
    ),
    "box limit": either(near(either(MAILBOX, _WHO_IS_FULL), either(QUOTA, words("limit, limite*, limiet"))), "overquota"),
    "quota exceeded": either(near(QUOTA, EXCEEDED), "overquota"),
    "storage short": near(either(STORAGE, words("resources, resource, ressourcen, ressources, recursos, risorse")), SHORT),
    "own mailbox": either(
        r"storedrv\.(?:submission|clientsubmit)|sender'?s? (?:mailbox|inbox)|your (?:own )?(?:mailbox|inbox|storage|account)",
        "ihr (?:postfach|konto)|votre (?:boite|messagerie)|su buzon|(?:sua|tua) casella|sua caixa|uw (?:postvak|mailbox)",
        "twoja skrzynka|ваш (?:почтовыи )?ящик|(?:您|你)的(?:邮箱|信箱)",
    ),
    # logins
    "bad login": either(
        near(SECRET, WRONG), near(words("token, grant"), words("expired, invalid, revoked")),
        "app(?:lication)?(?: specific)? password|badcredentials|credentials invalid|invalid ?grant|parol prilozheniya",
        "(?:wrong|bad|invalid|failed) (?:auth|login|logon)",
        "授权码|授權碼|专用密码|アプリ(?:ケーション)?パスワード",
    ),
    "basic auth off": r"basic auth\w* (?:is |has been )?(?:disabled|not supported|no longer|blocked|retired)",
    "smtp auth off": either(
        r"smtp ?client ?auth\w* (?:is )?disabled|smtpclientauth\w*disabled",
        r"smtp auth\w* (?:is )?(?:disabled|not enabled|turned off)",
    ),
    "security defaults": "security defaults",
    "login": LOGIN,
    # senders, relays, accounts
    "sender refused": near(SENDER, either(NOT_ALLOWED, "blacklisted|(?:in|on) blacklist")),
    "not our sender": either(
        "not owned by|not one of your|your own (?:email )?address|allowed senders|sendasdenied|send as denied|can ?not send as",
        "gehort nicht (?:zu|ihnen)|n'appartient pas|no pertenece|non appartiene|nao pertence|behoort niet|nie nalezy",
        "не принадлежит",
        rf"permissions? to send (?:as|from)|{_NOT_MAY} to send (?:\w+ )?(?:as|from)(?![a-z])",
        "(?:address|identity|identities|email) (?:is |are )?not (?:been )?verified|not a verified|sender identity",
        r"(?:isn't|is not) a sender signature|same as (?:the )?authori[sz]\w+ user|sender verify failed|badmailfrom|dt:sum",
    ),
    "no relay": either(
        near(words("relay, relaying, relais, relayage, retransmi*, weiterleit*, реле, 中继, 转发, 中継, 릴레이"), DENIED),
        f"{_NOT_MAY} to relay|cannot relay|no relay|not relay|as a relay|(?:open|insecure|mail) relay",
        "credentials for relay|rcpthosts",
        r"(?:authentication|smtp auth\w*|auth|login) (?:is )?(?:required|needed)|requires? (?:smtp )?auth|turn on smtp auth",
        "must (?:first )?(?:authenticate|log ?in|issue a starttls)|authenticate (?:first|before)|failed to authenticate",
        "client was not authenticated|not (?:been )?authenticated to send|permissions? to submit",
        "anmeldung erforderlich|authentification (?:est )?(?:requise|necessaire)|autenticacion requerida|verificatie vereist",
        "autenticazione (?:e )?richiesta|autenticacao (?:e )?(?:requerida|necessaria)|需要(?:身份)?(?:验证|认证)",
    ),
    "account blocked": either(
        "bad outbound sender|outboundspam|hipnotify|spam abuse detected|banned sender|outgoing blocked|has no permission|mi:spb",
        "prove (?:that )?you(?:'re| are) not a robot|verify your account|unblock ?me|to unblock",
        r"account (?:\w+ ){0,3}?(?:compromised|hacked)",
        "sign in to|log ?in (?:via|to|with|through) (?:your |the |a )?web|web ?browser",
        near(words("sending, outgoing, outbound, send mail, versand, envoi, envio, invio, verzenden, wysylanie, 发送"), OFF),
        near(words("sending, send mail, send mails, send email, send emails, send messages"), DENIED),
        r"(?:unusual|suspicious|abnormal) (?:\w+ ){0,2}?activit|(?:ungewohnliche|verdachtige) aktivitat|不審な|비정상",
        "activite (?:inhabituelle|suspecte)|actividad (?:inusual|sospechosa)|attivita (?:insolita|sospetta)",
        r"atividade (?:incomum|suspeita)|ongebruikelijke activiteit|(?:nietypow|podejrzan)\w+ aktywno|подозрительн\w+ активност",
        "[账帐][号户].{0,6}异常|アカウント.{0,10}異常",
    ),
    "account off": near(ACCOUNT, OFF),
    # a customer's account
    "tenant blocked": either(
        "on probation|sending (?:is )?paused|credits? (?:exceeded|exhausted|used up)|(?:maximum|out of|no|insufficient) credits",
        "not enough credits?|upgrade your (?:plan|account)|plan (?:limit|has expired)|subscription (?:has )?expired",
        "unpaid|billing|payment (?:required|overdue)|account (?:is )?not (?:yet )?activated",
        "unregistered domains|tenant has exceeded threshold",
        "tenant[^.;]{0,40}(?:restricted|blocked|suspended|disabled)",
    ),
    "not active": either(
        "not (?:yet )?(?:been )?(?:active|activated|approved|enabled)|inactive|pending (?:approval|review|activation)",
        "under review|paused|suspended|disabled|blocked|closed|terminated|deactivated|on hold|probation",
        "please activate|activate your",
    ),
    # our domain
    "domain fails": either(
        words("spf, dkim, dmarc, domainkeys, mi:spf, mi:dma"),
        "unauthenticated (?:email|mail|message|sender)|authentication (?:level|requirements|results)|sender policy framework",
        "not signed|bad signature",
    ),
    "sender domain unknown": either(
        near(
            either(SENDER, "your(?! (?:recipient|addressee|destination))|sending(?! (?:this |it |e?mails? |messages? )?to )"),
            DOMAIN + GAP + _NO_DOMAIN,
        ),
        DOMAIN + GAP + either(SENDER, "sen(?:d|ding|t)(?: e?mails?| messages?)? from") + GAP + _NO_DOMAIN,
        rf"(?:absender|afzender)dom\w+{GAP}{_NO_DOMAIN}",
        f"from:? {DOMAIN}{GAP}" + words("invalid, not found, unknown, not exist"),
        "domain of sender|mx for sender|domain may not exist or dns|invalid dns mx|unconfigured sending domain",
        "sender domain must|发件域名(?:不存在|无法解析)|送信元ドメイン",
    ),
    "domain not verified": either(
        "domain[^.;]{0,30}(?:not (?:been )?(?:verified|configured|authenticated|validated|allowed to send)|unverified)",
    ),
    "domain listed": either(
        f"(?:mail ?from|sender'?s?|sending|from|your|envelope|header|this) domain[^.;]{{0,50}}{either(REFUSED, 'ban|poor')}",
        "domain <host>[^.;]{0,25}(?:listed|black|block|banned|reputation)|domain in blacklist|domain'?s? reputation",
        "reputation (?:of|for) (?:the |your )?(?:sending |sender )?domain",
        near(DOMAIN, words("spamhaus, dbl, rhsbl, uribl, surbl")),
        near(DOMAIN, words("blacklisted, listed in, gelistet, liste noire, lista negra, lista nera, czarnej, 黑名单")),
    ),
    # our IP
    "block list": either(
        words(
            "spamhaus, spamcop, sorbs, barracuda, rbl, dnsbl, dnsrbl, blacklist*, blocklist*, denylist*, cloudmark, surbl"
        ),
        "block list|blocked (?:using|by <host>)|listed (?:in|on|at|by)|(?:is|are) listed|on our block",
        r"liste noire|lista negra|lista nera|czarnej liscie|черн\w+ списк|黑名单|黑名單|ブラックリスト",
        "hl:ip[bu]|hl:ih[uc]|dt:rbl|see:[^ ]*(?:dnsbl|rbl|blacklist|blocklist|block list)",
    ),
    "open resolver": either(
        "open (?:resolver|recursive)|public (?:resolver|dns)|excessive number of queries|query (?:volume|limit)|returnc/pub",
    ),
    "no reverse name": either(
        "(?<![a-z])ptr(?![a-z])|rdns|reverse (?:dns|name|host|lookup|address)|cannot find your (?:reverse )?host",
        "forward confirmed|dns ruckwart|逆引き|反向解析",
    ),
    "our reputation": near("reputation", either(IP, "sending (?:mta|server)|server|host")),
    "refused": REFUSED,
    # recipients
    "takes no mail from us": either(
        r"resolver\.rst|sendernotauthenticatedfor|not accept (?:mail|messages|email)s? (?:from|for)",
        "does not accept (?:mail|email)|no longer accepts?|only accepts? (?:mail|messages|email)",
        "refuses? to accept your|permission to send to",
        rf"{_NOT_MAY} to send (?:\w+ )?to (?:this|the|that)|banned recipient|user not local|suppression list|address blacklisted",
        "(?:rejected|blocked) by (?:the )?recipient|recipient'?s? block",
        near(
            either(PERSON, RECIPIENT),
            either(
                r"(?:asked|asks|requested|chosen|wish\w*|prefer\w*) (?:us )?not to (?:receive|get|be (?:e?mailed|contacted))",
                "(?:not|no longer) (?:want|wish|like) (?:to (?:receive|get)|e?mails?|messages?|your)|opted out|unsubscribed",
                r"keine?n? (?:\w+ ){0,4}(?:erhalten|empfangen|bekommen)|(?:pas|plus) recevoir|non? (?:\w+ )?(?:recibir|ricevere)",
                r"nao (?:\w+ )?receber|geen (?:\w+ ){0,4}ontvangen|nie (?:chce|zyczy sobie) otrzymywac",
                r"(?:не (?:хочет|желает)|отказал\w+(?: от)?) получ",
                "拒绝接收|不希望(?:再)?(?:接收|收到)|受信を(?:希望し|望ん|拒否)|수신을 ?(?:거부|원하지)",
            ),
        ),
    ),
    "no such user": either(
        near(either(PERSON, MAILBOX), UNKNOWN), "<addr>[^.;]{0,20}" + UNKNOWN,
        "(?<![a-z])(?:no|nessun) (?:such |valid |active )?(?:user|utente|mailbox|account|recipient|address|person|one)(?![a-z])",
        "(?:unknown|nonexistent|no such|invalid|undeliverable) (?:local )?(?:user|mailbox|recipient|address|person|name|part)",
        "bad (?:address|recipient|mailbox|user)(?![a-z])|(?:bad|valid) ?(?:rcptto|recipientto)",
        "(?:can't|cannot|can not) accept user|not a known user|is not one of our",
        "no existe|no mailbox here|not our customer|doesn't have an? .{0,30}account|mailbox not|recipnotfound|recipientnotfound",
        "delivery is not allowed to this address|no valid recipients|account or domain may not exist",
    ),
    "user off": near(either(PERSON, MAILBOX), OFF),
    "domain unknown": near(
        DOMAIN,
        either(
            UNKNOWN, _NO_DOMAIN,
            words(
                "lookup failed, lookup failure, lookup error, no mail host, no mail hosts, no mail server, no mail servers, "
                "no mail exchanger, not resolve, not be resolved, not be routed, accepts no mail, nicht aufgelost, "
                "nicht auflosbar, pas resolu, no se puede resolver, nao resolve"
            ),
        ),
    ),
    "unroutable": either(
        "unable to route|(?:can ?not|could not) (?:be )?routed?(?![a-z])|(?<![a-z])no route(?![a-z])|null ?mx|nxdomain",
        r"(?<![a-z])no (?:valid )?(?:mx(?: records?)?|mail (?:hosts?|exchangers?)) |mx records? point",
        "unknown host|host (?:or domain name )?(?:unknown|not found)",
    ),
    "our greeting": "(?<![a-z])(?:helo|ehlo)(?![a-z])",
    "mailbox unavailable": near(
        either(MAILBOX, words("account, user, recipient")),
        words(
            "unavailable, not available, nicht verfugbar, indisponible, no disponible, non disponibile, indisponivel, "
            "niet beschikbaar, niedostepn*, недоступ*, 不可用, 利用できません"
        ),
    ),
    "recipient refused": either(
        f"(?<!by )(?<!the ){RECIPIENT}(?: address)?(?: <addr>)?:? ?(?:is |was |has been |wurde |a ete |ha sido |e stato |foi )?"
        + words(
            "rejected, refused, denied, not accepted, access denied, abgelehnt, refuse, rechazad*, rifiutat*, rejeitad*,"
            "geweigerd, odrzucon*, 被拒绝, 拒否"
        ),
        "rejected recipients?(?![a-z])|recipients? suspend|受信拒否",
    ),
    # this message
    "too big": either(
        near(either(MAIL, words("file, size, attachment*, anhang, piece jointe, adjunto, allegato, anexo, 附件, 添付")), TOO_BIG),
        near(SIZE, either(EXCEEDED, LIMIT)),
    ),
    "bad content": either(
        "attachment|anhang|pieces? jointe|virus|malware|trojan|infected|macro|executable|病毒|ウイルス|вирус",
        "malformed|not rfc|rfc ?(?:5322|2822|822)|compliant|(?<![a-z])mime(?![a-z])|bare (?:lf|cr|line)",
        "header (?:is|are|line|field|size|limit)|received (?:lines|headers)|too many hops|mail loop|loop detected",
        "(?:missing|invalid|duplicate|multiple|no) (?:a )?(?:valid )?(?:header|date|from|message id|subject)",
        "content (?:rejected|denied|filter|policy|presents|guidelines)",
        "(?:url|link|uri)s?(?![a-z])[^.;]{0,50}(?:listed|black|block|reject)|(?:listed|blocked) (?:url|link|uri)",
        "(?:contains|body)[^.;]{0,50}(?:url|link|spam|listed|black|block)",
    ),
    "message is spam": either(near(MAIL, SPAM), "spam (?:score|detected|content|message|filter)|dt:spm"),
    "spam": either(SPAM, "dt:spm"),
}  # fmt: skip
"""Patterns by name. Compiled when first looked for (`replies`): all together they would take a quarter of a process's start."""
