"""What the text of an SMTP reply says: named concepts in the languages that providers write in.

Owns ``CONCEPTS``: a name -> a pattern over text that reply_text.py has normalised (casefolded, no Latin accents, single
spaces, no hyphen in words, addresses, hosts and IPs as ``<addr>``, ``<host>``, ``<ip>``). A concept is mostly two
vocabularies that stand near each other in one sentence, in either order: "mailbox ... full", "Postfach ... voll". Vocabularies
mix languages: a pair across two languages does no harm. In a list ``*`` stands for any ending.

Invariants: patterns are data, never built from input; gaps are bounded, so that no text takes long. Pure.
Fails: a word in a wrong spelling simply never matches; the tests hold each vocabulary against normalised text.
"""

import re
from typing import Final

_LETTERS: Final = "a-z0-9а-я"
_GAP: Final = "[^.;!?。]{0,60}?"


def words(listed: str) -> str:
    """A pattern for any word of a comma-separated list. CJK words need no boundary."""

    def one(word: str) -> str:
        stem = re.escape(word.removesuffix("*")).replace(r"\ ", " ?" if ord(word[0]) > 0x2E80 else " ")
        if ord(word[0]) > 0x2E80:
            return stem
        ending = f"[{_LETTERS}]*" if word.endswith("*") else f"(?![{_LETTERS}])"
        return f"(?<![{_LETTERS}]){stem}{ending}"

    return "(?:" + "|".join(one(word.strip()) for word in listed.split(",")) + ")"


def near(first: str, second: str) -> str:
    """Either order, within one sentence."""
    return f"(?:(?:{first}){_GAP}(?:{second})|(?:{second}){_GAP}(?:{first}))"


MAILBOX = words(
    "mailbox*, inbox*, postfach*, postbox, briefkasten, boite*, bal, messagerie, buzon, casilla, casella, caixa, postvak*,"
    "brievenbus, postbus, skrzynk*, ящик*, schrank*, inkorg*, postlad*, innboks*, kutusu, postafiok, 邮箱, 信箱, 郵箱,"
    "收件箱, 收件夹, メールボックス, 受信箱, 受信トレイ, 메일함, 편지함, 사서함"
)
PERSON = words(
    "user*, recipient*, addressee*, account*, address, alias*, destination, member, customer, empfanger*, empfaenger*,"
    "benutzer*, nutzer*, adresse*, mailadresse*, emailadresse*, konto, destinataire*, utilisateur*, compte, usuario*, cuenta,"
    "destinatari*, direccion, utente, indirizzo, conta, endereco, gebruiker*, ontvanger*, adres*, uzytkownik*, odbiorc*,"
    "пользовател*, получател*, адрес*, 用户, 用戶, 收件人, 收件者, 地址, 账号, 账户, 帐号, 帐户, 帳號, ユーザ, 宛先, 受信者,"
    "アドレス, アカウント, 사용자, 수신자, 주소, 계정"
)
RECIPIENT = words(
    "recipient*, addressee*, empfanger*, empfaenger*, destinataire*, destinatari*, ontvanger*, odbiorc*, получател*,"
    "收件人, 收件者, 收信人, 宛先, 受信者, 수신자, user you are trying, user you're trying, contact is, to contact"
)
SENDER = words(
    "sender*, mail from, mailfrom, from address, from header, from field, from header address, envelope from, return path,"
    "reverse path, originator*, sending address, absender*, expediteur*, remitente*, mittente*, remetente*, afzender*,"
    "nadawc*, отправител*, 发件人, 发信人, 發件人, 寄件者, 寄件人, 送信者, 差出人, 発信者, 발신자, 보내는"
)
ACCOUNT = words(
    "account*, user*, mailbox*, sender*, login, konto*, benutzerkonto, postfach, compte*, boite, cuenta*, buzon, utente,"
    "casella, conta, usuario*, gebruiker*, uzytkownik*, аккаунт*, учетн*, ящик*, пользовател*, 账号, 账户, 帐号, 帐户,"
    "帳號, 用户, 发件人, 邮箱, アカウント, ユーザ, 送信者, 계정, 사용자"
)
LIMIT = words(
    "limit, limits, quota*, allowance*, maximum*, max, cap, threshold, limitation*, kontingent*, grenze, hochst*, plafond,"
    "limite*, cuota*, massim*, maxim*, cota*, limiet*, sendelimit, versandlimit, tageslimit, stundenlimit, mail limit,"
    "daglimiet, verzendlimiet, лимит*, квот*, 上限, 限制, 限额, 限額, 配额, 額度, 制限, 한도, 제한"
)
EXCEEDED = words(
    "exceed*, reached, hit, used up, exhausted, over, surpassed, depleted, uberschr*, ueberschr*, erreicht*, erschopft*,"
    "erschoepft*, aufgebraucht, depass*, atteint*, epuis*, superad*, superat*, alcanzad*, exced*, agotad*, raggiunt*, esaurit*,"
    "atingi*, ultrapass*, esgotad*, bereikt*, overschred*, przekrocz*, przekroczon*, osiagni*, wyczerpan*, превыш*, достигнут*,"
    "исчерпан*, 超过, 超過, 超出, 达到, 已达, 達到, 超限, 超え, 達し, 초과, 도달"
)
TOO_MANY = words(
    "too many, too much, excessive, zu viele, zuviele, zu viel, trop de, demasiad*, troppi, troppe, muitas, muitos, excesso de,"
    "te veel, zbyt wiele, zbyt duzo, zbyt duza, za duzo, слишком много, 过多, 太多, 過多, 多すぎ, 너무 많"
)
MAILS = words(
    "messages, emails, mails, mail, recipients, rcpts, requests, nachrichten, empfanger, courriels, courriers, destinataires,"
    "mensajes, correos, destinatarios, messaggi, destinatari, invii, mensagens, envios, berichten, ontvangers, wiadomosci,"
    "maili, писем, сообщений, 邮件, 信件, 郵件, メール, 送信, 메일"
)
SENDING = words(
    "send, sends, sending, sent, outgoing, outbound, relay*, submission*, message*, email*, mails, rcpt*, recipients, hourly,"
    "daily, policy, rate*, versand*, sende*, gesendet*, ausgehend*, envoi*, envio*, enviar, enviad*, invii, invio, inviat*,"
    "verzend*, verzonden, wysyl*, wyslan*, отправ*, 发送, 发信, 外发, 寄送, 送信, 발송"
)
CONNECTIONS = words(
    "connection, connections, session, sessions, verbindung*, connexions, connexion, conexiones, conexion, connessioni,"
    "connessione, conexoes, conexao, verbindingen, polaczen, polaczenia, соединени*, подключени*, 连接, 連接, 连线, 連線,"
    "接続, 접속, 연결"
)
LOGIN = words(
    "authenticat*, auth, login*, log in, logon*, logins, sasl, password*, credential*, account*, anmeld*, authentifi*,"
    "authentication, autentic*, autentif*, accesso, acceso, aanmeld*, inlog*, logowan*, uwierzytelni*, аутентифик*,"
    "авториз*, 登录, 登陆, 登錄, 认证, 验证, ログイン, 認証, 로그인, 인증"
)
SECRET = words(
    "user, username*, user name, password*, passwd, passcode, credential*, login, passwort, kennwort, benutzername*,"
    "zugangsdaten, anmeldedaten, mot de passe, identifiant*, nom d'utilisateur, contrasena, usuario, credenciales, nome utente,"
    "credenziali, senha, credenciais, wachtwoord, gebruikersnaam, inloggegevens, haslo, hasla, парол*, логин*, 密码, 密碼,"
    "用户名, 账号, 授权码, パスワード, ユーザ名, ユーザー名, 認証情報, 비밀번호, 아이디, token"
)
WRONG = words(
    "invalid, incorrect*, wrong, bad, not accepted, not match, mismatch, expired, revoked, rejected, unknown, unrecognized,"
    "not recognized, falsch*, ungultig*, ungueltig*, inkorrekt, nicht korrekt, incorrecte*, errone*, invalide*, mauvais*,"
    "invalid*, no valid*, no validas, errat*, sbagliat*, non corrett*, non valid*, onjuist*, ongeldig*, verkeerd*, nieprawidlow*,"
    "bledn*, niepoprawn*, неверн*, неправильн*, 错误, 不正确, 有误, 无效, 錯誤, 正しくありません, 間違, 誤り, 無効, 違い, 틀립, 잘못,"
    "일치하지"
)
UNKNOWN = words(
    "unknown, not found, not be found, no such, does not exist, doesn't exist, do not exist, don't exist, not exist,"
    "nonexistent, non existent, non existant, not known, no longer valid, no longer exists, no longer available, no longer in use,"
    "not a valid, not valid, invalid, not listed, not recognized, undeliverable, unrouteable, unroutable, may not exist,"
    "not available here, unbekannt*, nicht gefunden, existiert nicht, nicht bekannt, nicht vorhanden, nicht existent, gibt es"
    " nicht, ungultig*, inconnu*, introuvable*, n'existe pas, n'existe plus, inexistant*, invalide*, desconocid*, no existe,"
    "inexistente*, no encontrad*, no se encuentra, invalid*, sconosciut*, non esiste, non trovat*, non valid*, desconhecid*,"
    "nao existe, nao encontrad*, onbekend*, bestaat niet, niet gevonden, ongeldig*, nieznan*, nie istnieje, nie znaleziono,"
    "nieprawidlow*, не существует, не наиден*, неизвестн*, не зарегистрирован*, 不存在, 未找到, 找不到, 无效, 查无, 存在しません,"
    "存在しない, 不明, 見つかりません, ありません, 無効, 存在하지, 존재하지, 찾을 수 없, 없습니다, okand, finnes ikke, tuntematon,"
    "neexistuje, bulunamadi"
)
OFF = words(
    "blocked, locked, lockout, disabled, suspended, deactivated, inactive, discontinued, restricted, banned, frozen, closed,"
    "compromised, hijacked, on hold, not active, terminated, abgeschaltet, gesperrt*, deaktiviert*, blockiert*, inaktiv*,"
    "bloque*, suspendu*, desactive*, inactif, bloquead*, suspendid*, desactivad*, deshabilitad*, inactiv*, bloccat*, sospes*,"
    "disattivat*, disabilitat*, suspens*, desativad*, inativ*, geblokkeerd*, gedeactiveerd*, uitgeschakeld*, opgeschort*,"
    "zablokowan*, zawieszon*, wylaczon*, nieaktywn*, заблокирован*, отключен*, приостановлен*, 封, 锁定, 冻结, 停用, 禁用, 被禁,"
    "凍結, ロック, 停止, 無効, 利用できません, 잠금, 잠겼, 정지, 차단"
)
FULL = words(
    "full, overfull, voll, uberfullt, ueberfuellt, plein, pleine*, sature*, llen*, pien*, chei*, lotad*, vol, przepelnion*, pelna,"
    "pelny, zapelnion*, переполнен*, полон, заполнен*, plna, tele, dolu, 已满, 已滿, 满, いっぱい, 一杯, 満杯, フル, 가득, 꽉"
)
STORAGE = words(
    "storage, disk, diskspace, disc, space, speicher*, espace, espacio, spazio, espaco, ruimte, opslag*, opslagruimte, miejsc*,"
    "mieisc*, pojemnos*, место, места, 容量, 空间, 空間, 저장, 용량"
)
SHORT = words(
    "insufficient, out of, not enough, no space, no room, low, lack*, shortage, allocation, unzureichend, nicht genug, nicht"
    " genugend, knapp, insuffisant*, manque, insuficiente*, sin espacio, insufficient*, sem espaco, onvoldoende, niet genoeg, brak,"
    "niewystarczajac*, недостаточно, нет, 不足, 부족"
)
REFUSED = words(
    "block*, blacklist*, banned, denied, deny, refused, rejected, reject*, not accept*, not be accepted, no longer accepted,"
    "not allowed, not permitted, not authorized, unauthorized, prohibited, listed, reputation, gesperrt*, blockiert*, abgelehnt*,"
    "gelistet*, verweigert*, bloque*, refus*, rejet*, interdit*, liste noire, bloquead*, rechazad*, denegad*, lista negra, bloccat*,"
    "rifiutat*, negat*, lista nera, rejeitad*, recusad*, negad*, geblokkeerd*, geweigerd*, zablokowan*, odrzucon*, odmow*, czarn*,"
    "заблокирован*, отклонен*, отказ*, черн*, 拒绝, 拒絕, 被拒, 封, 黑名单, 黑名單, 屏蔽, 拒否, ブロック, ブラックリスト, 차단, 거부"
)
SPAM = words(
    "spam*, unsolicited, junk, bulk mail, phish*, unerwunscht*, indesirable*, no deseado, indesiderat*, ongewenst*, niechcian*,"
    "спам*, 垃圾邮件, 垃圾郵件, 垃圾, 迷惑メール, スパム, 스팸"
)
MAIL = words(
    "message*, email*, mail, mails, content*, nachricht*, inhalt*, courriel*, courrier, contenu*, mensaje*, correo*, contenido*,"
    "messaggi*, contenut*, mensagem, mensagens, conteudo*, bericht*, inhoud, wiadomosc*, tresc*, письм*, сообщени*, 邮件, 郵件,"
    "信件, 内容, メール, メッセージ, 메일, 내용"
)
DOMAIN = words("domain*, domane*, domaene*, domaine*, dominio*, domein*, domena*, domeny, домен*, 域名, 网域, 網域, ドメイン, 도메인")
IP = rf"(?<![{_LETTERS}+])ips?(?![{_LETTERS}])"
NOT_ALLOWED = words(
    "not allowed, not permitted, not authorized, not authorised, not verified, not owned, not confirmed, not validated, unverified,"
    "unauthorized, unauthorised, not match, mismatch, must be the same, must be same, must match, must be, not belong, denied,"
    "rejected, refused, blocked, not a valid, invalid, unknown, not registered, verify failed, nicht erlaubt, nicht berechtigt,"
    "nicht zulassig, nicht autorisiert, unzulassig*, nicht verifiziert, stimmt nicht, abgelehnt, non autoris*, pas autoris*,"
    "non verifie*, refus*, rejet*, ne correspond pas, no autorizad*, no permitid*, no coincide*, no verificad*, rechazad*, denegad*,"
    "non autorizzat*, non consentit*, non verificat*, non corrispond*, rifiutat*, nao autorizad*, nao permitid*, nao verificad*,"
    "nao corresponde*, rejeitad*, recusad*, niet toegestaan, niet geautoriseerd, niet geverifieerd, komt niet overeen, geweigerd,"
    "niedozwolon*, nieautoryzowan*, nie jest, nie zgadza, odrzucon*, niezgodn*, не разреш*, не совпадает, не соответствует, отклонен*,"
    "不一致, 不匹配, 不符, 不允许, 必须, 未验证, 拒绝, 一致しません, 異なり, 許可されて, 拒否, 未認証, 일치하지, 허용되지"
)
LATER = words(
    "later, try again, please retry, retry later, again in, spater, spaeter, erneut, plus tard, ulterieurement, reessay*, mas tarde,"
    "intente*, intentelo, piu tardi, riprovar*, riprova*, mais tarde, novamente, tente, later opnieuw, opnieuw, pozniej, ponownie,"
    "позже, позднее, 稍后, 稍後, 再试, 重试, 重試, 後で, しばらく, 再度, 나중, 다시"
)
TEMPORARY = words(
    "temporar*, deferred, deferring, defer, throttl*, voruber*, vorueber*, zeitweise, provisoire*, temporaire*, momentan*, temporal*,"
    "tijdelijk*, tymczasow*, chwilow*, временн*, 暂时, 临时, 暫時, 一時的, 일시적"
)
TROUBLE = words(
    "system problem, server error, local error, internal error, local problem, system error, internal resource, busy, overloaded,"
    "maintenance, service not active, unexpected failure, temporary failure, configuration, not accepting network messages,"
    "service unavailable, service temporarily, service not available, service refuse*, uberlastet, wartung*, interner fehler,"
    "erreur interne, error interno, errore interno, erro interno, interne fout, wewnetrzny blad, internal server, 繁忙, 忙, 系统错误,"
    "内部エラー, 混雑, ビジー"
)

_HOUR = words(
    "hourly, an hour, per hour, every hour, each hour, this hour, last hour, past hour, one hour, 1 hour, hour, hours limit, stundlich*,"
    "stuendlich*, pro stunde, stunde, stundenlimit, par heure, horaire, por hora, hora, all'ora, orari*, per uur, uurlimiet, na godzine,"
    "godzin*, в час, 小时, 小時, 時間, 시간"
)
_DAY = words(
    "daily, a day, per day, every day, each day, today, this day, 24h, 24 hours, 24 hour, 24 hrs, 1 day, day, monthly, per month, month,"
    "weekly, per week, taglich*, taeglich*, tages*, pro tag, heute, 24 stunden, par jour, quotidien*, journalier*, jour, aujourd'hui,"
    "24 heures, diari*, por dia, al dia, dia, hoy, 24 horas, giornalier*, al giorno, oggi, 24 ore, hoje, dagelijks*, per dag, daglimiet,"
    "vandaag, 24 uur, dzienn*, na dzien, dzis*, 24 godzin*, суточн*, сутки, дневн*, в день, 每日, 每天, 当日, 當日, 今日, 今天, 一天, 日限, 本日,"
    "1日, 一日, 하루, 일일"
)
_FAST = words(
    "ratelimit*, throttl*, too fast, too quickly, too rapidly, too frequent*, too often, slow down, frequency, sending rate, message rate,"
    "submission rate, mail rate, rate exceed*, rate limit*, rate too high, peak, burst, per second, a second, per minute, a minute,"
    "each minute, every minute, per sec, per min, messages/s, messages/min, concurren*, simultaneous*, parallel, thread limit, too many"
    " threads, short time, short period, zu schnell, zu haufig, zu haeufig, gleichzeitig*, pro sekunde, pro minute, verlangsam*, trop vite,"
    "trop rapid*, trop frequen*, simultane*, par seconde, par minute, ralentir, demasiado rapido, con demasiada frecuencia,"
    "simultaneas, por segundo, por minuto, frecuencia, troppo veloc*, troppo frequent*, simultanee, al secondo, al minuto, frequenza,"
    "muito rapid*, taxa de, simultaneas, frequencia, te snel, te vaak, gelijktijdig*, per seconde, per minuut, zbyt szybko, zbyt czesto,"
    "jednoczesn*, rownoczesn*, na sekunde, na minute, слишком быстро, слишком часто, частот*, в секунду, в минуту, одновременн*, 频率,"
    "頻率, 过快, 太快, 频繁, 頻繁, 并发, 每秒, 每分钟, 頻度, 速すぎ, 同時, 毎秒, 毎分, 1分間, 속도, 동시, 빈도"
)

CONCEPTS: Final[dict[str, re.Pattern[str]]] = {
    name: re.compile(pattern)
    for name, pattern in {
        # whom the text names
        "our address": rf"{IP}|client host|sending (?:mta|server|host)|your (?:mail ?)?(?:server|host|mta|network)|per source",
        "ip word": rf"(?<!<){IP}|client host|sending mta",
        "tenant": words(
            "tenant*, customer*, organization*, organisation*, organizacion, organizzazione, organizacao, organizacj*, reseller, company,"
            "mandant*, mandanten, kunde, kunden, kundenlimit, klant, klient, klienta, клиент*, 租户, 租戶, 企业, 企業, 客户, 客戶, テナント,"
            "組織, 顧客, 고객, 조직"
        ),
        "domain": DOMAIN,
        "account": f"{ACCOUNT}|{SENDER}",
        "you": words("you, your, you've, ihr, ihre, votre, su, suo, tuo, seu, sua, uw, twoj*, вы, ваш*, 您, 你, お客様"),
        "recipient": RECIPIENT,
        "sender": SENDER,
        # sessions, greylists, servers
        "greylist": rf"gr[ea]ylist|graulist|liste grise|灰名单|グレイリスト|グレーリスト|temporary envelope failure",
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
        "trouble": TROUBLE,
        "later": LATER,
        "temporary": TEMPORARY,
        "checking address": r"verification in progress|verify in progress|unverified address|callout|being verified",
        "dns trouble": r"temp ?error|temporary (?:dns|lookup|name)|dns (?:lookup )?(?:time|temp|failure)|lookup (?:timed|failure)",
        # limits
        "receives too much": rf"{near(RECIPIENT, words('receiv*'))}.{{0,80}}(?:quick|fast|rate|limit|too m)"
        rf"|{words('user, mailbox, account')} is receiving|receiving (?:mail|messages|email) (?:too|at a rate)"
        rf"|{RECIPIENT} {words('has exceeded, has reached')}[^.]{{0,60}}{words('messages, mails, emails, receive*')}"
        rf"|too many (?:messages|mails|emails) (?:for|to) (?:this|that|the) (?:recipient|user|mailbox)"
        rf"|{near(RECIPIENT, words('erhalt, empfangt, recoit, recoive, recib*, riceve*, ricevendo, receb*, ontvangt, otrzymuj*, получает'))}"
        rf"[^.]{{0,40}}(?:{TOO_MANY}|{_FAST}|{LIMIT})"
        r"|(?:收件人|收信人|收件者|对方)[^。]{0,12}(?:接收|收信|收到)[^。]{0,12}(?:过多|太多|过快|频|超|限)"
        r"|(?:宛先|受信者|相手)[^。]{0,16}(?:受信)[^。]{0,12}(?:多|頻|制限|上限|超)",
        "unusual rate": r"unusual (?:rate|volume|amount)",
        "long period": rf"(?<!in )(?<!after )(?<!wait )(?<!in about )(?:{_HOUR}|{_DAY})",
        "too much": TOO_MANY,
        "sends": words(
            "send, sends, sending, sent, sender, outgoing, outbound, relay*, submission, policy, versand*, sende*, gesendet*, ausgehend*, envoi*,"
            "envoy*, envio*, enviar, enviad*, invii, invio, inviat*, verzend*, verzonden, wysyl*, wyslan*, отправ*, 发送, 发信, 外发, 送信, 발송"
        ),
        "sending failed": near(
            words("failure, failed, error, fehler, fehlgeschlagen, echec, echoue, fallo, error, falha, errore, mislukt, blad"),
            words("sending, send, to send, senden, versand, versenden, envoi, envoyer, envio, enviar, invio, verzenden, wysylania, wyslania"),
        ),
        "fast": f"{_FAST}|{near(CONNECTIONS, TOO_MANY + '|' + LIMIT + '|' + EXCEEDED)}|mi:sfq|rp:qrc|hl:(?:icc|ifc|mep)",
        "limit": f"{near(LIMIT, EXCEEDED)}|{near(TOO_MANY, MAILS)}|{words('mi:stc, rp:trc, hl:itc')}|submissionquota"
        rf"|limit(?:ed)? (?:of|to) \d|max(?:imum)?(?: of)? \d+ |quota ?exceeded|{words('overquota')}"
        rf"|{near(EXCEEDED, words('number of messages, number of emails, messages allowed, allowed messages'))}"
        rf"|{near(words('anzahl, nombre, numero, aantal, liczba, 数量, 次数, 件数, 通数'), EXCEEDED)}",
        "too many recipients": rf"{TOO_MANY} (?:\w+ ){{0,2}}?{words('recipients, recipient, rcpts, empfanger, empfaenger, destinataires')}"
        rf"|{TOO_MANY} {words('destinatarios, destinatari, ontvangers, odbiorcow, получателеи')}"
        r"|recipiants? per message|reciplimit|recipients (?:per|in (?:a|one|this)) (?:message|mail|email|transaction)"
        r"|收件人(?:数量)?(?:过多|太多)|宛先(?:の数)?が多すぎ",
        "too many logins": near(
            TOO_MANY + "|" + words("too often, too frequent*, zu oft, trop souvent, demasiado, te vaak, zbyt czesto, 频繁, 频率, 頻"), LOGIN
        )
        + r"|authenticate too many times|too many times|smtp auth error limit",
        "throttled sending": r"throttling failure|(?:maximum|max) sending rate|daily message quota",
        # mailboxes that are full, servers that are short
        "mailbox full": f"{near(MAILBOX, FULL)}|{near(MAILBOX + '|' + PERSON, words('overquota, over its quota, over his quota, over storage'))}"
        f"|{near(MAILBOX + '|' + RECIPIENT, STORAGE)}"
        f"|{near(MAILBOX, words('quota*, size, speicherplatz, groesse, grosse, taille, tamano, dimensione, tamanho') + _GAP + EXCEEDED)}"
        f"|{near(words('user, disk, storage, mailbox, inbox, allocated, account storage'), words('quota'))}{_GAP}{EXCEEDED}"
        f"|{EXCEEDED}{_GAP}{words('storage, mailbox, disk')} {words('quota*, allocation, limit, allotment')}"
        f"|storage allocation|{near(words('空间, 空間, 容量'), words('不足, 超限, 超出, 超过, 已满, 满, 超過, 足り, オーバー'))}"
        f"|{near(words('account, user, recipient'), words('out of storage, out of space'))}",
        "quota exceeded": f"{near(words('quota*, kontingent, cuota*, cota*, квот*, 配额'), EXCEEDED)}|{words('overquota')}",
        "storage short": near(STORAGE + "|" + words("resources, resource, ressourcen, ressources, recursos, risorse"), SHORT),
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
        "not our sender": r"not owned by|sendasdenied|send as denied|sender verify failed"
        r"|permissions? to send (?:as|from)|(?:not (?:allowed|permitted|authori[sz]ed)|unable) to send (?:as|from|mail from|email from|messages from)"
        r"|(?:address|identity|identities|email) (?:is |are )?not (?:been )?verified|isn't a sender signature|not a verified|sender identity"
        r"|badmailfrom|same as (?:the )?authori[sz]\w+ user|can ?not send as|dt:sum",
        "no relay": f"{near(words('relay, relaying, relais, relayage, retransmi*, weiterleit*, реле, 中继, 转发, 中継, 릴레이'), NOT_ALLOWED)}"
        r"|relay\w* (?:is )?(?:denied|disallowed|prohibited|forbidden|not allowed|not permitted)|(?:unable|not (?:allowed|permitted)) to relay"
        r"|rcpthosts|cannot relay|no relay|we do not relay|(?:authentication|smtp auth\w*|auth|login) (?:is )?(?:required|needed)"
        r"|must (?:first )?(?:authenticate|log ?in|issue a starttls)|not (?:been )?authenticated to send|client was not authenticated"
        r"|turn on smtp auth|anmeldung erforderlich|authentification (?:est )?(?:requise|necessaire)|autenticacion requerida"
        r"|autenticazione (?:e )?richiesta|autenticacao (?:e )?(?:requerida|necessaria)|verificatie vereist|需要(?:身份)?(?:验证|认证)",
        "account blocked": r"bad outbound sender|outboundspam|hipnotify|spam abuse detected|prove (?:that )?you(?:'re| are) not a robot"
        r"|sign in to|log ?in (?:via|to|with|through) (?:your |the |a )?web|web ?browser|unblock ?me|to unblock|banned sender|outgoing blocked"
        r"|(?:unusual|suspicious|abnormal) (?:\w+ ){0,2}?activit|ungewohnliche aktivitat|verdachtige aktivitat|activite (?:inhabituelle|suspecte)"
        r"|actividad (?:inusual|sospechosa)|attivita (?:insolita|sospetta)|atividade (?:incomum|suspeita)|ongebruikelijke activiteit"
        r"|(?:nietypow\w+|podejrzan\w+) aktywno|подозрительн\w+ активност|[账帐][号户].{0,6}异常|アカウント.{0,10}異常|不審な|비정상"
        rf"|{near(words('sending, outgoing, outbound, message sending, send mail, versand, envoi, envio, invio, verzenden, wysylanie, 发送'), OFF)}"
        r"|has no permission|mi:spb|account (?:has been |is |was )?(?:compromised|hacked)|verify your account",
        "account off": near(ACCOUNT, OFF),
        "about them": rf"{RECIPIENT}|(?:mail|message) to|(?:trying|tried) to reach|can ?not be delivered|not deliver",
        "plain account": words("account*, konto, benutzerkonto, compte, cuenta, conta, аккаунт*, 账号, 账户, 帐号, 帐户, アカウント, 계정"),
        # a relay service's account
        "tenant blocked": r"on probation|sending (?:is )?paused|credits? (?:exceeded|exhausted|used up)|(?:maximum|out of|no|insufficient) credits"
        r"|not enough credits?|tenant has exceeded threshold|upgrade your (?:plan|account)|plan (?:limit|has expired)|subscription (?:has )?expired"
        r"|unpaid|payment|billing|(?:smtp )?account (?:is )?not (?:yet )?activated|unregistered domains",
        "not yet active": r"not (?:yet )?(?:been )?(?:active|activated|approved|enabled)|inactive|pending (?:approval|review|activation)|under review"
        r"|(?:paused|suspended|disabled|blocked|closed|terminated|deactivated|on hold|probation)|please activate|activate your",
        # our domain
        "domain fails": rf"{words('spf, dkim, dmarc, domainkeys, mi:spf, mi:dma')}|unauthenticated (?:email|mail|message|sender)"
        r"|authentication (?:level|requirements|results)|sender policy framework|not signed|bad signature",
        "sender domain unknown": near(
            f"{SENDER}|your|sender domain|sending",
            DOMAIN + _GAP + words("not found, does not exist, doesn't exist, not exist, does not resolve, unresolvable, no mx, unknown, invalid, nicht gefunden"),
        )
        + r"|domain of sender|mx for sender|domain may not exist or dns|invalid dns mx|unconfigured sending domain|sender domain must|域名(?:不存在|无法解析)"
        r"|送信元ドメイン",
        "domain listed": rf"(?:mail ?from|sender'?s?|sending|from|your|envelope|header|this) domain[^.;]{{0,50}}(?:{REFUSED}|ban|poor)"
        rf"|domain <host>[^.;]{{0,25}}(?:listed|black|block|banned|reputation)|(?:reputation of|reputation for) (?:the |your )?(?:sending |sender )?domain"
        rf"|domain'?s? reputation|domain in blacklist|{near(DOMAIN, words('blacklisted, listed in, gelistet, liste noire, lista negra, lista nera, czarnej, 黑名单'))}",
        "domain not verified": rf"domain[^.;]{{0,30}}(?:not (?:been )?(?:verified|configured|authenticated|validated|allowed to send)|unverified)",
        # our address
        "block list": rf"{words('spamhaus, spamcop, sorbs, barracuda, rbl, dnsbl, dnsrbl, blacklist*, blocklist*, denylist*, cloudmark, surbl')}"
        r"|block list|blocked (?:using|by <host>)|listed (?:in|on|at|by)|(?:is|are) listed|on our block|liste noire|lista negra|lista nera|czarnej liscie|черн\w+ списк|黑名单|黑名單"
        r"|ブラックリスト|hl:ip[bu]|hl:ih[uc]|dt:rbl|url:[^ ]*(?:dnsbl|rbl|blacklist|blocklist|block list)",
        "no reverse name": r"(?<![a-z])ptr(?![a-z])|reverse (?:dns|name|host|lookup|address)|rdns|cannot find your (?:reverse )?host|(?:no|missing|invalid|bad) (?:dns )?ptr|forward confirmed"
        r"|dns ruckwart|逆引き|反向解析",
        "open resolver": r"open resolver|open recursive|public resolver|public dns|excessive number of queries|query (?:volume|limit)|returnc/pub|blocked due to .{0,20}resolver",
        "refused": REFUSED,
        "our reputation": near(words("reputation"), IP + "|" + words("sending mta, sending server, server, host")),
        # recipients
        "takes no mail from us": r"resolver\.rst|sendernotauthenticatedfor|not accept (?:mail|messages|email)s? (?:from|for)|does not accept (?:mail|email)"
        r"|only accepts? (?:mail|messages|email)|permission to send to|(?:not (?:allowed|permitted|authori[sz]ed)) to send (?:\w+ )?to (?:this|the|that)"
        r"|rejected by (?:the )?recipient|banned recipient|user not local|suppression list|address blacklisted",
        "no such user": f"{near(PERSON + '|' + MAILBOX, UNKNOWN)}|no mailbox here|not our customer|doesn't have an? .{{0,30}}account"
        r"|(?:unknown|nonexistent|no such|invalid|undeliverable) (?:local )?(?:user|mailbox|recipient|address|person|name|part)|mailbox not|recipnotfound|recipientnotfound"
        r"|delivery is not allowed to this address|no valid recipients|account or domain may not exist|not a known user|is not one of our",
        "user off": near(PERSON + "|" + MAILBOX, OFF),
        "mailbox unavailable": rf"{near(MAILBOX, words('unavailable, not available, nicht verfugbar, indisponible, no disponible, non disponibile, indisponivel, niet beschikbaar, niedostepn*, недоступ*, 不可用'))}",
        "recipient refused": rf"(?<!by )(?<!the ){RECIPIENT}(?: address)?(?: <addr>)?:? ?(?:is |was |wurde |a ete |ha sido |e stato |foi )?"
        + words("rejected, refused, denied, not accepted, access denied, abgelehnt, refuse, rechazad*, rifiutat*, rejeitad*, geweigerd, odrzucon*, 被拒绝, 拒否"),
        # this message
        "too big": rf"{near(MAIL + '|' + words('file, size, attachment*, anhang, piece jointe, adjunto, allegato, anexo, bijlage, zalacznik*, 附件, 添付'), words('too big, too large, too long, zu gross, zu groß, trop gros*, trop volumineu*, trop grand*, trop lourd, demasiado grande, troppo grande, muito grande, te groot, zbyt duz*, za duz*, слишком больш*, 过大, 太大, 過大, 大きすぎ, 너무 큽'))}"
        rf"|{near(words('size, sizes, databytes, mailsize, grosse, groesse, taille, tamano, dimension*, tamanho, grootte, rozmiar, размер, 大小, サイズ, 크기'), EXCEEDED + '|' + LIMIT)}",
        "bad content": r"attachment|anhang|piece jointe|virus|malware|trojan|infected|macro|executable|malformed|not rfc|rfc ?5322|rfc ?2822|rfc ?822|compliant|header (?:is|are|line|field)"
        r"|(?:missing|invalid|duplicate|multiple|no) (?:a )?(?:valid )?(?:header|date|from|message id|subject)|(?<![a-z])mime(?![a-z])|content (?:rejected|denied|filter|policy|presents|guidelines)|bare (?:lf|cr|line)|too many hops|mail loop|loop detected"
        r"|(?:url|link|uri)s?[^.;]{0,50}(?:listed|black|block|reject)|(?:contains|body)[^.;]{0,50}(?:url|link|spam|listed|black|block)|病毒|ウイルス|вирус|pieces jointes",
        "message is spam": near(MAIL, SPAM) + r"|spam (?:score|detected|content|message|filter)|dt:spm",
        "spam": f"{SPAM}|dt:spm",
    }.items()
}
