"""What the text of an SMTP reply can say: named concepts, each a pattern over the plain form of reply_text.py.

Most are two vocabularies of reply_words.py near each other in one sentence, in either order: "mailbox ... full", "Postfach ... voll";
some are the fixed words of one server. reply_rules.py combines concepts; a concept by itself decides nothing.

Invariants: no concept depends on another; none looks at codes, phases or providers. Pure.
"""

import re
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
    RECIPIENT,
    REFUSED,
    SECRET,
    SENDER,
    SHORT,
    SPAM,
    STORAGE,
    TEMPORARY,
    TOO_MANY,
    TROUBLE,
    UNKNOWN,
    WRONG,
    near,
    words,
)

CONCEPTS: Final[dict[str, re.Pattern[str]]] = {
    name: re.compile(pattern)
    for name, pattern in {
        # whom the text names
        "our address": rf"{IP}|hl:[a-z]{{3}}|client host|host network|remotehost|sending (?:mta|server|host)|your (?:mail ?)?(?:server|host|mta|network)|per source",
        "ip word": rf"(?<!<){IP}|client host|sending mta",
        "tenant": words(
            "tenant*, customer*, organization*, organisation*, organizacion, organizzazione, organizacao, organizacj*, reseller, company,"
            "mandant*, mandanten, kunde, kunden, kundenlimit, klant, klient, klienta, клиент*, 租户, 租戶, 企业, 企業, 客户, 客戶, テナント,"
            "組織, 顧客, 고객, 조직"
        ),
        "domain": DOMAIN,
        "account": f"{ACCOUNT}|{SENDER}|(?:for|client|by) <addr>",
        "you": words(
            "you, your, you've, ihr, ihre, votre, su, suo, tuo, seu, sua, uw, twoj*, вы, ваш*, 您, 你, お客様"
        ),
        "recipient": RECIPIENT,
        "sender": SENDER,
        # sessions, greylists, servers
        "greylist": r"gr[ea]ylist|graulist|liste grise|灰名单|グレイリスト|グレーリスト|temporary envelope failure",
        "session used up": near(
            TOO_MANY + "|" + LIMIT + "|" + EXCEEDED,
            words(
                "per connection, per session, this session, this connection, in one session, in one connection, for this session,"
                "pro verbindung, pro sitzung, par connexion, par session, por conexion, por sesion, per connessione, per sessione,"
                "por conexao, por sessao, per verbinding, per sessie, na polaczenie, na sesje, за соединение, 单次连接, 每次连接, 每个连接,"
                "1接続, 接続あたり, unrecognized commands, unknown commands, bad commands, errors, protocol errors, syntax errors, nonmail"
                " commands, invalid commands"
            ),
        )
        + r"|mi:dmc|rp:drc|(?:open|start|use) a new (?:session|connection)",
        "idle": rf"connection expired|try reconnecting|time ?d? ?out|{words('inactivity, idle, inaktivitat, inactivite, inactividad')}",
        "trouble": f"{TROUBLE}|tls required|{near(words('server, service, system, host, resource, resources'), words('unavailable, not available, down, error, failure, problem'))}",
        "later": LATER,
        "temporary": TEMPORARY,
        "for good": r"permanently|will not succeed",
        "checking address": r"verification in progress|verify in progress|unverified address|callout|being verified",
        "dns trouble": r"temp ?error|temporary (?:dns|lookup|name)|dns (?:lookup )?(?:time|temp|failure)|lookup (?:timed|failure)",
        # limits
        "receives too much": rf"{near(RECIPIENT, words('receiv*'))}.{{0,80}}(?:quick|fast|rate|limit|too m)"
        rf"|{words('user, mailbox, account')} is receiving|receiving (?:mail|messages|email) (?:too|at a rate)"
        rf"|{RECIPIENT} {words('has exceeded, has reached')}[^.]{{0,60}}{words('message, messages, mails, emails, rate, receive*')}"
        rf"|(?:messages|mail|emails) (?:to|for) <addr>[^.]{{0,40}}{words('deferred, excessive, too many, rate, limit')}"
        rf"|frequency of receiving|receiving[^.]{{0,30}}limited|too many (?:messages|mails|emails) (?:for|to) (?:this|that|the) (?:recipient|user|mailbox)"
        rf"|{near(RECIPIENT, words('erhalt, empfangt, recoit, recoive, recib*, riceve*, ricevendo, receb*, ontvangt, otrzymuj*, получает'))}"
        rf"[^.]{{0,40}}(?:{TOO_MANY}|{FAST}|{LIMIT})"
        r"|(?:收件人|收信人|收件者|对方)[^。]{0,12}(?:接收|收信|收到)[^。]{0,12}(?:过多|太多|过快|频|超|限)"
        r"|(?:宛先|受信者|相手)[^。]{0,16}(?:受信)[^。]{0,12}(?:多|頻|制限|上限|超)",
        "unusual rate": r"unusual (?:rate|volume|amount)",
        "long period": rf"(?<!in )(?<!after )(?<!wait )(?<!in about )(?:{HOUR}|{DAY})|per \d{{4,6}} ?s",
        "too much": TOO_MANY,
        "sends": words(
            "send, sends, sending, sent, sender, smtp, message limit, messages, emails, mails, recipients, outgoing, outbound, relay*, submission, policy, versand*, sende*, gesendet*, ausgehend*, envoi*,"
            "envoy*, envio*, enviar, enviad*, invii, invio, inviat*, verzend*, verzonden, wysyl*, wyslan*, отправ*, 发送, 发信, 外发, 送信, 발송"
        ),
        "sending failed": near(
            words(
                "failure, failed, error, fehler, fehlgeschlagen, echec, echoue, fallo, error, falha, errore, mislukt, blad"
            ),
            words(
                "sending, send, to send, senden, versand, versenden, envoi, envoyer, envio, enviar, invio, verzenden, wysylania, wyslania"
            ),
        ),
        "fast": f"{FAST}|{near(CONNECTIONS, TOO_MANY + '|' + LIMIT + '|' + EXCEEDED)}|mi:sfq|rp:qrc|hl:(?:icc|ifc|mep)",
        "limit": f"{near(LIMIT, EXCEEDED)}|{near(TOO_MANY, MAILS)}|{words('mi:stc, rp:trc, hl:itc')}|submissionquota"
        rf"|limit(?:ed)? (?:of|to) \d|max(?:imum)?(?: of)? \d+ |quota ?exceeded|{words('overquota')}"
        rf"|{near(EXCEEDED, words('number of messages, number of emails, messages allowed, allowed messages'))}"
        rf"|{near(words('anzahl, nombre, numero, aantal, liczba, 数量, 次数, 件数, 通数'), EXCEEDED)}",
        "too many recipients": rf"{TOO_MANY} (?:\w+ ){{0,2}}?{words('recipients, recipient, rcpts, empfanger, empfaenger, destinataires')}"
        rf"|{TOO_MANY} {words('destinatarios, destinatari, ontvangers, odbiorcow, получателеи')}"
        r"|(?:per|separate) transaction|reciplimit|recipients (?:per|in (?:a|one|this)) (?:message|mail|email|transaction)"
        r"|收件人(?:数量)?(?:过多|太多)|宛先(?:の数)?が多すぎ",
        "too many logins": near(
            TOO_MANY
            + "|"
            + words(
                "too often, too frequent*, zu oft, trop souvent, demasiado, te vaak, zbyt czesto, 频繁, 频率, 頻"
            ),
            LOGIN,
        )
        + r"|authenticate too many times|too many times|smtp auth error limit",
        "throttled sending": r"throttling failure|(?:maximum|max) sending rate|daily message quota",
        # mailboxes that are full, servers that are short
        "mailbox full": f"{near(MAILBOX, FULL)}|{near(MAILBOX + '|' + PERSON, words('overquota, over its quota, over his quota, over storage'))}"
        f"|{near(MAILBOX + '|' + RECIPIENT, STORAGE)}|{words('account, user, mailbox')} storage {words('limit, quota')}"
        f"|{near(MAILBOX, words('quota*, size, speicherplatz, groesse, grosse, taille, tamano, dimensione, tamanho') + GAP + EXCEEDED)}"
        f"|{near(words('user, disk, storage, mailbox, inbox, allocated, account storage'), words('quota'))}{GAP}{EXCEEDED}"
        f"|{EXCEEDED}{GAP}{words('storage, mailbox, disk')} {words('quota*, allocation, limit, allotment')}"
        f"|storage allocation|{near(words('空间, 空間, 容量'), words('不足, 超限, 超出, 超过, 已满, 满, 超過, 足り, オーバー'))}"
        f"|{near(words('account, user, recipient'), words('out of storage, out of space, space has been used, storage is used'))}",
        "box limit": near(
            MAILBOX
            + "|"
            + words(
                "user, account, recipient, disk, disc, konto, benutzer, empfanger, compte, utilisateur, cuenta, usuario, utente, conta"
            ),
            words("quota*, limit, kontingent, limite*, cuota*, cota*, limiet"),
        )
        + rf"|{words('overquota')}",
        "quota exceeded": f"{near(words('quota*, kontingent, cuota*, cota*, квот*, 配额'), EXCEEDED)}|{words('overquota')}",
        "storage short": near(
            STORAGE + "|" + words("resources, resource, ressourcen, ressources, recursos, risorse"), SHORT
        ),
        "own mailbox": r"storedrv\.submission|storedrv\.clientsubmit|your (?:own )?(?:mailbox|inbox|storage|account)|sender'?s? (?:mailbox|inbox)"
        r"|ihr postfach|ihr konto|votre (?:boite|messagerie)|su buzon|(?:la )?(?:sua|tua) casella|sua caixa|uw (?:postvak|mailbox)"
        r"|twoja skrzynka|ваш (?:почтовыи )?ящик|(?:您|你)的(?:邮箱|信箱)",
        # credentials
        "bad login": f"{near(SECRET, WRONG)}|app(?:lication)?(?:[ -]specific)? password|badcredentials|credentials invalid|invalid ?grant"
        r"|parol prilozheniya|授权码|授權碼|专用密码|アプリ(?:ケーション)?パスワード|basic auth\w* (?:is )?(?:disabled|not supported|blocked)"
        rf"|{near(words('token, grant'), words('expired, invalid, revoked'))}|(?:wrong|bad|invalid|failed) (?:auth|login|logon)",
        "basic auth off": r"basic auth\w* (?:is |has been )?(?:disabled|not supported|no longer|blocked|retired)",
        "smtp auth off": r"smtpclientauthentication is disabled|smtp auth\w* (?:is )?(?:disabled|not enabled|turned off)|smtpclientauth\w*disabled",
        "security defaults": r"security defaults",
        "login": LOGIN,
        # senders, relays, accounts
        "sender refused": near(SENDER, NOT_ALLOWED + "|" + words("blacklisted, in blacklist, on blacklist")),
        "not our sender": r"not owned by|not one of your|gehort nicht (?:zu|ihnen)|n'appartient pas|no pertenece|non appartiene|nao pertence|behoort niet|nie nalezy|не принадлежит|"
        r"sendasdenied|send as denied|sender verify failed"
        r"|permissions? to send (?:as|from)|(?:not (?:allowed|permitted|authori[sz]ed)|unable) to send (?:\w+ )?(?:as|from)(?![a-z])|allowed senders|your own (?:email )?address"
        r"|(?:address|identity|identities|email) (?:is |are )?not (?:been )?verified|(?:isn't|is not) a sender signature|not a verified|sender identity"
        r"|badmailfrom|same as (?:the )?authori[sz]\w+ user|can ?not send as|dt:sum",
        "no relay": f"{near(words('relay, relaying, relais, relayage, retransmi*, weiterleit*, реле, 中继, 转发, 中継, 릴레이'), DENIED)}"
        r"|relay\w* (?:is )?(?:denied|disallowed|prohibited|forbidden|not allowed|not permitted)|(?:unable|not (?:allowed|permitted)) to relay"
        r"|rcpthosts|as a relay|open relay|insecure (?:mail )?relay|requires? (?:smtp )?auth|authenticate (?:first|before)|permissions? to submit|credentials for relay|cannot relay|failed to authenticate|no relay|we do not relay|(?:authentication|smtp auth\w*|auth|login) (?:is )?(?:required|needed)"
        r"|must (?:first )?(?:authenticate|log ?in|issue a starttls)|not (?:been )?authenticated to send|client was not authenticated"
        r"|turn on smtp auth|anmeldung erforderlich|authentification (?:est )?(?:requise|necessaire)|autenticacion requerida"
        r"|autenticazione (?:e )?richiesta|autenticacao (?:e )?(?:requerida|necessaria)|verificatie vereist|需要(?:身份)?(?:验证|认证)",
        "account blocked": r"bad outbound sender|outboundspam|hipnotify|spam abuse detected|prove (?:that )?you(?:'re| are) not a robot"
        r"|sign in to|log ?in (?:via|to|with|through) (?:your |the |a )?web|web ?browser|unblock ?me|to unblock|banned sender|outgoing blocked"
        r"|(?:unusual|suspicious|abnormal) (?:\w+ ){0,2}?activit|ungewohnliche aktivitat|verdachtige aktivitat|activite (?:inhabituelle|suspecte)"
        r"|actividad (?:inusual|sospechosa)|attivita (?:insolita|sospetta)|atividade (?:incomum|suspeita)|ongebruikelijke activiteit"
        r"|(?:nietypow\w+|podejrzan\w+) aktywno|подозрительн\w+ активност|[账帐][号户].{0,6}异常|アカウント.{0,10}異常|不審な|비정상"
        rf"|{near(words('sending, outgoing, outbound, message sending, send mail, versand, envoi, envio, invio, verzenden, wysylanie, 发送'), OFF)}"
        rf"|{near(words('sending, send mail, send mails, send email, send emails, send messages'), DENIED)}|has no permission|mi:spb|account (?:has been |is |was )?(?:compromised|hacked)|verify your account",
        "account off": near(ACCOUNT, OFF),
        "about them": rf"{words('recipient account, recipient mailbox, recipient is, recipient has, inactive recipient, of the recipient')}|recipient's"
        r"|(?<![a-z])(?:mail|message)s? to (?:<addr>|this|the|that|user)|(?:trying|tried) to reach|can ?not be delivered|not deliver|empf(?:a|ae)nger|destinat\w+|ontvanger|odbiorc|получател|收件人|收件者|宛先|受信者",
        "plain account": words(
            "account, konto, benutzerkonto, compte, cuenta, conta, аккаунт*, 账号, 账户, 帐号, 帐户, アカウント, 계정"
        ),
        # a relay service's account
        "tenant blocked": r"on probation|sending (?:is )?paused|credits? (?:exceeded|exhausted|used up)|(?:maximum|out of|no|insufficient) credits"
        r"|not enough credits?|tenant has exceeded threshold|upgrade your (?:plan|account)|plan (?:limit|has expired)|subscription (?:has )?expired"
        r"|tenant[^.;]{0,40}(?:restricted|blocked|suspended|disabled)|unpaid|payment (?:required|overdue)|billing|(?:smtp )?account (?:is )?not (?:yet )?activated|unregistered domains",
        "not yet active": r"not (?:yet )?(?:been )?(?:active|activated|approved|enabled)|inactive|pending (?:approval|review|activation)|under review"
        r"|(?:paused|suspended|disabled|blocked|closed|terminated|deactivated|on hold|probation)|please activate|activate your",
        # our domain
        "domain fails": rf"{words('spf, dkim, dmarc, domainkeys, mi:spf, mi:dma')}|unauthenticated (?:email|mail|message|sender)"
        r"|authentication (?:level|requirements|results)|sender policy framework|not signed|bad signature",
        "sender domain unknown": near(
            f"{SENDER}|your|sender domain|sending",
            DOMAIN
            + GAP
            + words(
                "not found, does not exist, doesn't exist, not exist, does not resolve, unresolvable, no mx, unknown, invalid, nicht gefunden"
            ),
        )
        + rf"|from:? {DOMAIN}{GAP}{words('invalid, not found, unknown, not exist')}|domain of sender|mx for sender|domain may not exist or dns|invalid dns mx|unconfigured sending domain|sender domain must|域名(?:不存在|无法解析)"
        r"|送信元ドメイン",
        "domain listed": rf"(?:mail ?from|sender'?s?|sending|from|your|envelope|header|this) domain[^.;]{{0,50}}(?:{REFUSED}|ban|poor)"
        rf"|domain <host>[^.;]{{0,25}}(?:listed|black|block|banned|reputation)|(?:reputation of|reputation for) (?:the |your )?(?:sending |sender )?domain"
        rf"|{near(DOMAIN, words('spamhaus, dbl, rhsbl, uribl, surbl'))}|domain'?s? reputation|domain in blacklist|{near(DOMAIN, words('blacklisted, listed in, gelistet, liste noire, lista negra, lista nera, czarnej, 黑名单'))}",
        "domain not verified": r"domain[^.;]{0,30}(?:not (?:been )?(?:verified|configured|authenticated|validated|allowed to send)|unverified)",
        # our address
        "block list": rf"{words('spamhaus, spamcop, sorbs, barracuda, rbl, dnsbl, dnsrbl, blacklist*, blocklist*, denylist*, cloudmark, surbl')}"
        r"|block list|blocked (?:using|by <host>)|listed (?:in|on|at|by)|(?:is|are) listed|on our block|liste noire|lista negra|lista nera|czarnej liscie|черн\w+ списк|黑名单|黑名單"
        r"|ブラックリスト|hl:ip[bu]|hl:ih[uc]|dt:rbl|see:[^ ]*(?:dnsbl|rbl|blacklist|blocklist|block list)",
        "no reverse name": r"(?<![a-z])ptr(?![a-z])|reverse (?:dns|name|host|lookup|address)|rdns|cannot find your (?:reverse )?host|(?:no|missing|invalid|bad) (?:dns )?ptr|forward confirmed"
        r"|dns ruckwart|逆引き|反向解析",
        "open resolver": r"open resolver|open recursive|public resolver|public dns|excessive number of queries|query (?:volume|limit)|returnc/pub|blocked due to .{0,20}resolver",
        "refused": REFUSED,
        "our reputation": near(
            words("reputation"), IP + "|" + words("sending mta, sending server, server, host")
        ),
        # recipients
        "takes no mail from us": r"resolver\.rst|sendernotauthenticatedfor|not accept (?:mail|messages|email)s? (?:from|for)|does not accept (?:mail|email)"
        r"|no longer accepts?|only accepts? (?:mail|messages|email)|refuses? to accept your|permission to send to|(?:not (?:allowed|permitted|authori[sz]ed)) to send (?:\w+ )?to (?:this|the|that)"
        r"|(?:rejected|blocked) by (?:the )?recipient|recipient'?s? block|banned recipient|user not local|suppression list|address blacklisted",
        "no such user": r"(?<![a-z])(?:no|nessun) (?:such |valid |active )?(?:user|utente|mailbox|account|recipient|address|person|one)(?![a-z])"
        r"|bad (?:address|recipient|mailbox|user)(?![a-z])|bad ?rcptto|bad ?recipientto|valid ?rcptto|(?:can't|cannot|can not) accept user|no existe"
        f"|{near(PERSON + '|' + MAILBOX, UNKNOWN)}|<addr>[^.;]{{0,20}}{UNKNOWN}|no mailbox here|not our customer|doesn't have an? .{{0,30}}account"
        r"|(?:unknown|nonexistent|no such|invalid|undeliverable) (?:local )?(?:user|mailbox|recipient|address|person|name|part)|mailbox not|recipnotfound|recipientnotfound"
        r"|delivery is not allowed to this address|no valid recipients|account or domain may not exist|not a known user|is not one of our",
        "user off": near(PERSON + "|" + MAILBOX, OFF),
        "mailbox unavailable": rf"{near(MAILBOX + '|' + words('account, user, recipient'), words('unavailable, not available, nicht verfugbar, indisponible, no disponible, non disponibile, indisponivel, niet beschikbaar, niedostepn*, недоступ*, 不可用'))}",
        "recipient refused": rf"(?<!by )(?<!the ){RECIPIENT}(?: address)?(?: <addr>)?:? ?(?:is |was |has been |wurde |a ete |ha sido |e stato |foi )?"
        + words(
            "rejected, refused, denied, not accepted, access denied, abgelehnt, refuse, rechazad*, rifiutat*, rejeitad*, geweigerd, odrzucon*, 被拒绝, 拒否"
        )
        + r"|rejected recipients?(?![a-z])|recipients? suspend",
        # this message
        "too big": rf"{near(MAIL + '|' + words('file, size, attachment*, anhang, piece jointe, adjunto, allegato, anexo, bijlage, zalacznik*, 附件, 添付'), words('too big, too large, too long, zu gross, zu groß, trop gros*, trop volumineu*, trop grand*, trop lourd, demasiado grande, troppo grande, muito grande, te groot, zbyt duz*, za duz*, слишком больш*, 过大, 太大, 過大, 大きすぎ, 너무 큽'))}"
        rf"|{near(words('size, sizes, databytes, mailsize, grosse, groesse, taille, tamano, dimension*, tamanho, grootte, rozmiar, размер, 大小, サイズ, 크기'), EXCEEDED + '|' + LIMIT)}",
        "bad content": r"attachment|anhang|piece jointe|virus|malware|trojan|infected|macro|executable|malformed|not rfc|rfc ?5322|rfc ?2822|rfc ?822|compliant|header (?:is|are|line|field|size|limit)|received (?:lines|headers)"
        r"|(?:missing|invalid|duplicate|multiple|no) (?:a )?(?:valid )?(?:header|date|from|message id|subject)|(?<![a-z])mime(?![a-z])|content (?:rejected|denied|filter|policy|presents|guidelines)|bare (?:lf|cr|line)|too many hops|mail loop|loop detected"
        r"|(?:url|link|uri)s?(?![a-z])[^.;]{0,50}(?:listed|black|block|reject)|(?:listed|blocked) (?:url|link|uri)|(?:contains|body)[^.;]{0,50}(?:url|link|spam|listed|black|block)|病毒|ウイルス|вирус|pieces jointes",
        "message is spam": near(MAIL, SPAM) + r"|spam (?:score|detected|content|message|filter)|dt:spm",
        "spam": f"{SPAM}|dt:spm",
    }.items()
}
