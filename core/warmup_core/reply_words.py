"""The vocabulary of SMTP replies: lists of words in the languages that providers write in, and how a list becomes a pattern.

Words stand in the plain form of reply_text.py: casefolded, without Latin accents or hyphens. ``*`` stands for any ending. A list
mixes languages: words are looked for in pairs (reply_concepts.py), and a pair across two languages does no harm. German umlauts
appear in both spellings, because servers write both.

Invariants: patterns are data, never built from input; a gap is bounded and ends with the sentence. Pure.
Fails: a word in a wrong spelling never matches; a test holds each list against the plain form.
"""

import re
from typing import Final

LETTERS: Final = "a-z0-9а-я"
GAP: Final = "[^.;!?。]{0,60}?"


def words(listed: str) -> str:
    """A pattern for any word of a comma-separated list. Grouped by boundary and first letter, which makes long lists fast."""
    whole: set[str] = set()
    stems: set[str] = set()
    cjk: set[str] = set()
    for word in (word.strip() for word in listed.split(",")):
        if ord(word[0]) > 0x2E80:
            cjk.add(word)
        else:
            (stems if word.endswith("*") else whole).add(word.removesuffix("*"))
    groups = []
    if whole or stems:
        endings = [(_any_of(whole), f"(?![{LETTERS}])"), (_any_of(stems), "")]
        latin = "|".join(pattern + ending for pattern, ending in endings if pattern)
        groups.append(f"(?<![{LETTERS}])(?=[{_firsts(whole | stems)}])(?:{latin})")
    if cjk:
        groups.append(f"(?=[{_firsts(cjk)}])(?:{_any_of(cjk)})")
    return f"(?:{'|'.join(groups)})"


def _firsts(of: set[str]) -> str:
    return re.escape("".join(sorted({word[0] for word in of})))


def _any_of(of: set[str]) -> str:
    by_first: dict[str, list[str]] = {}
    for word in sorted(of):
        by_first.setdefault(word[0], []).append(re.escape(word[1:]).replace(r"\ ", " "))
    return (
        f"(?:{'|'.join(first + '(?:' + '|'.join(rest) + ')' for first, rest in by_first.items())})"
        if of
        else ""
    )


def near(first: str, second: str) -> str:
    """Either order, within one sentence."""
    return f"(?:(?:{first}){GAP}(?:{second})|(?:{second}){GAP}(?:{first}))"


def either(*patterns: str) -> str:
    """Any of the patterns."""
    return f"(?:{'|'.join(patterns)})"


MAILBOX = words(
    "mailbox*, inbox*, maildir, mailfolder, folder, postfach*, postbox, briefkasten, boite*, bal, messagerie, buzon, "
    "casilla, casella, caixa, postvak*, brievenbus, postbus, skrzynk*, ящик*, schrank*, inkorg*, postlad*, innboks*, "
    "kutusu, postafiok, 邮箱, 信箱, 郵箱, 收件箱, 收件夹, メールボックス, 受信箱, 受信トレイ, 메일함, 편지함, 사서함"
)
PERSON = words(
    "送信先, user, recipient, addressee*, account, address, alias*, destination, member, persona, empfanger*, "
    "empfaenger*, benutzer*, nutzer*, adresse*, mailadresse*, emailadresse*, konto, destinataire*, utilisateur*, "
    "compte, usuario*, cuenta, destinatari*, direccion, utente, indirizzo, conta, endereco, gebruiker*, ontvanger*, "
    "adres*, uzytkownik*, odbiorc*, пользовател*, получател*, адрес*, 用户, 用戶, 收件人, 收件者, 地址, 账号, 账户, "
    "帐号, 帐户, 帳號, ユーザ, 宛先, 受信者, アドレス, アカウント, 사용자, 수신자, 주소, 계정"
)
RECIPIENT = words(
    "kontaktieren, contacter, contactar, contattare, contatar, skontaktowac, 送信先, recipient*, addressee*, "
    "empfanger*, empfaenger*, destinataire*, destinatari*, ontvanger*, odbiorc*, получател*, 收件人, 收件者, 收信人, "
    "宛先, 受信者, 수신자, user you are trying, user you're trying, contact is, to contact"
)
SENDER = words(
    "sender, mail from, mailfrom, from address, from header, from field, from header address, envelope from, "
    "return path, reverse path, originator*, sending address, absender*, expediteur*, remitente*, mittente*, "
    "remetente*, afzender*, nadawc*, отправител*, 发件人, 发信人, 發件人, 寄件者, 寄件人, 送信者, 差出人, 発信者, "
    "발신자, 보내는"
)
ACCOUNT = words(
    "account, user, mailbox, sender, login, konto*, benutzerkonto, postfach, compte*, boite, cuenta*, buzon, utente, "
    "casella, conta, usuario*, gebruiker*, uzytkownik*, аккаунт*, учетн*, ящик*, пользовател*, 账号, 账户, 帐号, "
    "帐户, 帳號, 用户, 发件人, 邮箱, アカウント, ユーザ, 送信者, 계정, 사용자"
)
LIMIT = words(
    "limit, limits, quota*, allowance*, maximum*, max, cap, threshold, limitation*, kontingent*, grenze, hochst*, "
    "plafond, limite*, cuota*, massim*, maxim*, cota*, limiet*, sendelimit, versandlimit, tageslimit, stundenlimit, "
    "mail limit, daglimiet, verzendlimiet, лимит*, квот*, 上限, 限制, 限额, 限額, 配额, 額度, 制限, 한도, 제한"
)
EXCEEDED = words(
    "exceed*, reached, hit, used up, exhausted, over, surpassed, depleted, uberschr*, ueberschr*, erreicht*, "
    "erschopft*, erschoepft*, aufgebraucht, depass*, atteint*, epuis*, superad*, superat*, alcanzad*, exced*, "
    "agotad*, raggiunt*, esaurit*, atingi*, ultrapass*, esgotad*, bereikt*, overschred*, przekrocz*, przekroczon*, "
    "osiagni*, wyczerpan*, превыш*, достигнут*, исчерпан*, 超过, 超過, 超出, 达到, 已达, 達到, 超限, 用完, 用尽, "
    "已满, 超え, 使い切, 소진, 達し, 초과, 도달"
)
TOO_MANY = words(
    "too many, too much, excessive, zu viele, zuviele, zu viel, trop de, demasiad*, troppi, troppe, muitas, muitos, "
    "excesso de, te veel, zbyt wiele, zbyt duzo, zbyt duza, za duzo, слишком много, 过多, 太多, 過多, 多すぎ, 너무많"
)
MAILS = words(
    "messages, emails, mails, mail, recipients, rcpts, requests, nachrichten, empfanger, courriels, courriers, "
    "destinataires, mensajes, correos, destinatarios, messaggi, destinatari, invii, mensagens, envios, berichten, "
    "ontvangers, wiadomosci, maili, писем, сообщении, 邮件, 信件, 郵件, メール, 送信, 메일"
)
CONNECTIONS = words(
    "connection, connections, session, sessions, verbindung*, connexions, connexion, conexiones, conexion, "
    "connessioni, connessione, conexoes, conexao, verbindingen, polaczen, polaczenia, соединени*, подключени*, 连接, "
    "連接, 连线, 連線, 接続, 접속, 연결"
)
LOGIN = words(
    "authenticat*, auth, login*, log in, logon*, logins, sasl, password*, credential*, account*, anmeld*, "
    "authentifi*, authentication, autentic*, autentif*, accesso, acceso, aanmeld*, inlog*, logowan*, uwierzytelni*, "
    "аутентифик*, авториз*, 登录, 登陆, 登錄, 认证, 验证, ログイン, 認証, 로그인, 인증"
)
SECRET = words(
    "user, username*, password*, passwd, passcode, credential*, authentication data, login, passwort, kennwort, "
    "benutzername*, zugangsdaten, anmeldedaten, mot de passe, identifiant*, nom d'utilisateur, contrasena, usuario, "
    "credenciales, nome utente, credenziali, senha, credenciais, wachtwoord, gebruikersnaam, inloggegevens, haslo, "
    "hasla, парол*, логин*, 密码, 密碼, 用户名, 账号, 授权码, パスワード, ユーザ名, ユーザー名, 認証情報, 비밀번호, "
    "아이디, token"
)
WRONG = words(
    "invalid, incorrect*, wrong, bad, not accepted, not match, mismatch, expired, revoked, rejected, unknown, "
    "unrecognized, not recognized, falsch*, ungultig*, ungueltig*, inkorrekt, nicht korrekt, incorrecte*, errone*, "
    "invalide*, mauvais*, invalid*, no valid*, no validas, errat*, sbagliat*, non corrett*, non valid*, onjuist*, "
    "ongeldig*, verkeerd*, nieprawidlow*, bledn*, niepoprawn*, неверн*, неправильн*, 错误, 不正确, 有误, 无效, 錯誤, "
    "正しくありません, 間違, 誤り, 無効, 違い, 틀립, 잘못, 일치하지"
)
UNKNOWN = words(
    "unknown, not found, not be found, no such, does not exist, doesn't exist, do not exist, don't exist, not exist, "
    "nonexistent, non existent, non existant, not known, no longer valid, no longer exists, no longer available, "
    "no longer in use, not a valid, not valid, invalid, not listed, not recognized, undeliverable, unrouteable, "
    "unroutable, may not exist, not available here, not present, not local, not a local, not an active, not ok, "
    "missing, unbekannt*, nicht gefunden, existiert nicht, nicht bekannt, nicht vorhanden, nicht existent, "
    "gibt es nicht, ungultig*, inconnu*, introuvable*, n'existe pas, n'existe plus, inexistant*, invalide*, "
    "desconocid*, no existe, inexistente*, no encontrad*, no se encuentra, invalid*, sconosciut*, non esiste, "
    "non trovat*, non valid*, desconhecid*, nao existe, nao encontrad*, onbekend*, bestaat niet, niet gevonden, "
    "ongeldig*, nieznan*, nie istnieje, nie znaleziono, nieprawidlow*, не существует, не наиден*, неизвестн*, "
    "не зарегистрирован*, 不存在, 未找到, 找不到, 无效, 查无, 存在しません, 存在しない, 不明, 見つかりません, "
    "ありません, 無効, 存在하지, 존재하지, 찾을수없, 없습니다, okand, finnes ikke, tuntematon, neexistuje, bulunamadi"
)
OFF = words(
    "blocked, locked, lockout, disabled, suspended, deactivated, inactive, discontinued, restricted, banned, frozen, "
    "closed, compromised, hijacked, archived, archivee*, on hold, not active, terminated, abgeschaltet, gesperrt*, "
    "deaktiviert*, blockiert*, inaktiv*, bloque*, suspendu*, desactive*, inactif, bloquead*, suspendid*, "
    "desactivad*, deshabilitad*, inactiv*, bloccat*, sospes*, disattivat*, disabilitat*, suspens*, desativad*, "
    "inativ*, geblokkeerd*, gedeactiveerd*, uitgeschakeld*, opgeschort*, zablokowan*, zawieszon*, wylaczon*, "
    "nieaktywn*, заблокирован*, отключен*, приостановлен*, 封, 锁定, 冻结, 停用, 禁用, 被禁, 凍結, ロック, 停止, "
    "無効, 잠금, 잠겼, 정지, 차단"
)
FULL = words(
    "full, overfull, voll, uberfullt, ueberfuellt, plein, pleine*, sature*, llen*, pien*, chei*, lotad*, vol, "
    "przepelnion*, pelna, pelny, zapelnion*, переполнен*, полон, заполнен*, plna, tele, dolu, 已满, 已滿, 满, "
    "いっぱい, 一杯, 満杯, フル, 가득, 꽉"
)
STORAGE = words(
    "storage, disk, diskspace, disc, space, speicher*, espace, espacio, spazio, espaco, ruimte, opslag*, "
    "opslagruimte, miejsc*, mieisc*, pojemnos*, место, места, 容量, 空间, 空間, 저장, 용량"
)
SHORT = words(
    "insufficient, out of, not enough, no space, no room, low, lack*, shortage, allocation, unzureichend, "
    "nicht genug, nicht genugend, knapp, insuffisant*, manque, insuficiente*, sin espacio, insufficient*, "
    "sem espaco, onvoldoende, niet genoeg, brak, niewystarczajac*, недостаточно, нет, 不足, 부족"
)
REFUSED = words(
    "block*, blacklist*, permanently deferred, banned, denied, deny, refused, rejected, reject*, not accept*, "
    "not be accepted, no longer accepted, not allowed, not permitted, not authorized, unauthorized, prohibited, "
    "listed, reputation, gesperrt*, blockiert*, abgelehnt*, gelistet*, verweigert*, bloque*, refus*, rejet*, "
    "interdit*, liste noire, bloquead*, rechazad*, denegad*, lista negra, bloccat*, rifiutat*, negat*, lista nera, "
    "rejeitad*, recusad*, negad*, geblokkeerd*, geweigerd*, zablokowan*, odrzucon*, odmow*, czarn*, заблокирован*, "
    "отклонен*, отказ*, черн*, 拒绝, 拒絕, 被拒, 封, 黑名单, 黑名單, 屏蔽, 拒否, ブロック, ブラックリスト, 차단, 거부"
)
SPAM = words(
    "spam*, unsolicited, junk, bulk mail, phish*, unerwunscht*, indesirable*, no deseado, indesiderat*, ongewenst*, "
    "niechcian*, спам*, 垃圾邮件, 垃圾郵件, 垃圾, 迷惑メール, スパム, 스팸"
)
MAIL = words(
    "message*, email*, mail, mails, content*, nachricht*, inhalt*, courriel*, courrier, contenu*, mensaje*, correo*, "
    "contenido*, messaggi*, contenut*, mensagem, mensagens, conteudo*, bericht*, inhoud, wiadomosc*, tresc*, письм*, "
    "сообщени*, 邮件, 郵件, 信件, 内容, メール, メッセージ, 메일, 내용"
)
DOMAIN = words(
    "domain*, domane*, domaene*, domaine*, dominio*, domein*, domena*, domeny, домен*, 域名, 网域, 網域, ドメイン, "
    "도메인"
)
IP = rf"(?<![{LETTERS}+])ips?(?![{LETTERS}])"
NOT_ALLOWED = words(
    "unvalidated, 不合法, not allowed, not permitted, not authorized, not authorised, not verified, not owned, "
    "not confirmed, not validated, unverified, not been verified, not been validated, not been confirmed, "
    "not yet verified, must equal, does not equal, unauthorized, unauthorised, not match, mismatch, "
    "must be the same, must be same, must match, must be, not belong, denied, rejected, refused, blocked, "
    "not a valid, invalid, unknown, not registered, verify failed, nicht erlaubt, nicht berechtigt, nicht zulassig, "
    "nicht autorisiert, unzulassig*, nicht verifiziert, stimmt nicht, abgelehnt, non autoris*, pas autoris*, "
    "non verifie*, refus*, rejet*, ne correspond pas, no autorizad*, no permitid*, no coincide*, no verificad*, "
    "rechazad*, denegad*, non autorizzat*, non consentit*, non verificat*, non corrispond*, rifiutat*, "
    "nao autorizad*, nao permitid*, nao verificad*, nao corresponde*, rejeitad*, recusad*, niet toegestaan, "
    "niet geautoriseerd, niet geverifieerd, komt niet overeen, geweigerd, niedozwolon*, nieautoryzowan*, nie jest, "
    "nie zgadza, odrzucon*, niezgodn*, не разреш*, не совпадает, не соответствует, отклонен*, 不一致, 不匹配, 不符, "
    "不允许, 必须, 未验证, 拒绝, 一致しません, 異なり, 許可されて, 拒否, 未認証, 일치하지, 허용되지"
)
LATER = words(
    "later, try again, please retry, retry later, again in, spater, spaeter, erneut, plus tard, ulterieurement, "
    "reessay*, mas tarde, intente*, intentelo, piu tardi, riprovar*, riprova*, mais tarde, novamente, tente, "
    "later opnieuw, opnieuw, pozniej, ponownie, позже, позднее, 稍后, 稍後, 再试, 重试, 重試, 後で, しばらく, 再度, "
    "나중, 다시"
)
TEMPORARY = words(
    "temporar*, at present, deferred, deferring, defer, throttl*, voruber*, vorueber*, zeitweise, provisoire*, "
    "temporaire*, momentan*, temporal*, tijdelijk*, tymczasow*, chwilow*, временн*, 暂时, 临时, 暫時, 一時的, 일시적"
)
DENIED = words(
    "denied, disallowed, not allowed, not permitted, not authorized, not authorised, unauthorized, prohibited, "
    "forbidden, refused, rejected, nicht erlaubt, nicht zulassig, abgelehnt, verweigert, interdit*, refus*, "
    "non autoris*, no permitid*, denegad*, rechazad*, non consentit*, negat*, rifiutat*, nao permitid*, negad*, "
    "recusad*, niet toegestaan, geweigerd, niedozwolon*, odrzucon*, запрещ*, отклонен*, 拒绝, 禁止, 不允许, 拒否, "
    "許可されて, 거부"
)
TROUBLE = words(
    "systemproblem*, serverproblem*, systemfehler*, serverfehler*, probleme systeme, probleme du systeme, "
    "problema del sistema, problema di sistema, problema do sistema, systeemprobleem, problem systemu, "
    "системная ошибка, 系统故障, 系统忙, システムの一時的, システムエラー, システム障害, system problem, "
    "server error, local error, internal error, local problem, system error, internal resource, busy, overloaded, "
    "maintenance, service not active, unexpected failure, temporary failure, configuration, "
    "not accepting network messages, service unavailable, service temporarily, service not available, "
    "service refuse*, uberlastet, wartung*, interner fehler, erreur interne, error interno, errore interno, "
    "erro interno, interne fout, wewnetrzny blad, internal server, 繁忙, 忙, 系统错误, 内部エラー, 混雑, ビジー"
)

HOUR = words(
    "hourly, an hour, per hour, every hour, each hour, this hour, last hour, past hour, one hour, 1 hour, hour, "
    "hours limit, stundlich*, stuendlich*, pro stunde, stunde, stundenlimit, par heure, horaire, por hora, hora, "
    "all'ora, orari*, per uur, uurlimiet, na godzine, godzin*, в час, 小时, 小時, 時間, 시간"
)
DAY = words(
    "daily, a day, per day, every day, each day, today, this day, 24h, 24 hours, 24 hour, 24 hrs, 1 day, day, "
    "monthly, per month, month, weekly, per week, taglich*, taeglich*, tages*, pro tag, heute, 24 stunden, par jour, "
    "quotidien*, journalier*, jour, aujourd'hui, 24 heures, diari*, por dia, al dia, dia, hoy, 24 horas, "
    "giornalier*, al giorno, oggi, 24 ore, hoje, dagelijks*, per dag, daglimiet, vandaag, 24 uur, dzienn*, na dzien, "
    "dzis*, 24 godzin*, суточн*, сутки, дневн*, в день, 每日, 每天, 当日, 當日, 今日, 今天, 一天, 日限, 本日, 1日, "
    "一日, 하루, 일일"
)
FAST = words(
    "hochstbeschrankung, spitzenlimit, ratelimit*, throttl*, too fast, too quickly, too rapidly, too frequent*, "
    "too often, slow down, slower, frequency, sending rate, message rate, submission rate, mail rate, rate exceed*, "
    "rate too high, peak, burst, per second, a second, per minute, a minute, each minute, every minute, per sec, "
    "per min, messages/s, messages/min, concurren*, simultaneous*, parallel, thread limit, too many threads, "
    "short time, short period, zu schnell, zu haufig, zu haeufig, gleichzeitig*, pro sekunde, pro minute, "
    "verlangsam*, trop vite, trop rapid*, trop frequen*, simultane*, par seconde, par minute, ralentir, "
    "demasiado rapido, con demasiada frecuencia, simultaneas, por segundo, por minuto, frecuencia, troppo veloc*, "
    "troppo frequent*, simultanee, al secondo, al minuto, frequenza, muito rapid*, taxa de, frequencia, te snel, "
    "te vaak, gelijktijdig*, per seconde, per minuut, zbyt szybko, zbyt czesto, jednoczesn*, rownoczesn*, "
    "na sekunde, na minute, слишком быстро, слишком часто, частот*, в секунду, в минуту, одновременн*, 频率, 頻率, "
    "过快, 太快, 频繁, 頻繁, 并发, 每秒, 每分钟, 頻度, 速すぎ, 同時, 毎秒, 毎分, 1分間, 속도, 동시, 빈도"
)

TENANT = words(
    "tenant*, customer*, organization*, organisation*, organizacion, organizzazione, organizacao, organizacj*, "
    "reseller, company, mandant*, kunde, kunden, kundenlimit, klant, klient, klienta, клиент*, 租户, 租戶, 企业, "
    "企業, 客户, 客戶, テナント, 組織, 顧客, 고객, 조직"
)
YOU = words(
    "you, your, you've, ihr, ihre, votre, su, suo, tuo, seu, sua, uw, twoj*, вы, ваш*, 您, 你, お客様"
)
QUOTA = words("quota*, kontingent, cuota*, cota*, квот*, 配额")
SENDS = words(
    "send, sends, sending, sent, sender, smtp, message limit, messages, emails, mails, recipients, outgoing, "
    "outbound, relay*, submission, policy, versand*, sende*, gesendet*, ausgehend*, envoi*, envoy*, envio*, enviar, "
    "enviad*, invii, invio, inviat*, verzend*, verzonden, wysyl*, wyslan*, отправ*, 发送, 发信, 外发, 送信, 발송"
)
SESSION = words(
    "per connection, per session, this session, this connection, in one session, in one connection, pro verbindung, "
    "pro sitzung, par connexion, par session, por conexion, por sesion, per connessione, per sessione, por conexao, "
    "por sessao, per verbinding, per sessie, na polaczenie, na sesje, за соединение, 单次连接, 每次连接, 每个连接, "
    "1接続, 接続あたり, unrecognized commands, unknown commands, bad commands, invalid commands, nonmail commands, "
    "errors"
)
SIZE = words(
    "size, sizes, databytes, mailsize, grosse, groesse, taille, tamano, dimension*, tamanho, grootte, rozmiar, "
    "размер, 大小, サイズ, 크기"
)
TOO_BIG = words(
    "too big, too large, too long, zu gross, trop gros*, trop volumineu*, trop grand*, trop lourd, demasiado grande, "
    "troppo grande, muito grande, te groot, zbyt duz*, za duz*, слишком больш*, 过大, 太大, 過大, 大きすぎ, 너무큽"
)
