// The Replicated State Library for C++: the classes of the legacy rsl.h, header-only over the C ABI (rsl_c.h). A service
// that was written for the legacy library compiles unchanged and links librsl instead. C++11 and up.
//
// What a service implements is class RSLStateMachine, at the end. Additions to the legacy API are in RSLib::Extensions.
#ifndef RSL_H
#define RSL_H

#ifdef _WIN32
#include <windows.h>
#else
#include "rsl_win32.h"
#endif

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

#include "rsl_c.h"

// No class is exported or imported any more; the macros are still accepted.
#ifndef RSL_IMPORT_EXPORT
#define RSL_IMPORT_EXPORT
#endif
#ifndef STDCALL
#define STDCALL __stdcall
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define RSL_TRY_ try
#define RSL_CATCH_ALL_ catch (...)
#else
#define RSL_TRY_ if (true)
#define RSL_CATCH_ALL_ else
#endif

namespace RSLibImpl {
// Types of the legacy implementation, which never had a public definition.
class Legislator;
class PrimaryCookie;
class MemberSet;
class CheckpointHeader;
class APSEQREAD;
class APSEQWRITE;
}

namespace RSLib {

// ---- codes ----------------------------------------------------------------------------------------------------------

// The underlying type is fixed so that codes above the legacy ones are values of the type, too.
enum RSLResponseCode : int {
    RSLSuccess = 0,
    RSLFastReadStale = 1,
    RSLNotPrimary = 2,
    RSLShuttingDown = 3,
    RSLAlreadyBootstrapped = 4,
    RSLBootstrapFailed = 5,
    RSLInvalidParameter = 6
};

enum RSLProtocolVersion {
    RSLProtocolVersion_1 = 1,
    RSLProtocolVersion_2 = 2,
    RSLProtocolVersion_3 = 3,
    RSLProtocolVersion_4 = 4,
    RSLProtocolVersion_5 = 5,
    RSLProtocolVersion_6 = 6
};

enum ThreadPriority {
    Priority_Normal = 0,
    Priority_AboveNormal = 1,
    Priority_BelowNormal = 2,
    Priority_Highest = 3,
    Priority_Lowest = 4,
    Priority_OutOfGC = 16
};

typedef enum {
    CallBackLogLevel_Debug = 0,
    CallBackLogLevel_Info = 1,
    CallBackLogLevel_Status = 2,
    CallBackLogLevel_Warning = 3,
    CallBackLogLevel_Error = 4,
    CallBackLogLevel_Alert = 5,
    CallBackLogLevel_Assert = 6
} CallBackLogLevel;

// level: 0 Debug, 1 Info, 2 Status, 3 Warning, 4 Error, 5 Assert, 6 Alert. Called on the thread concerned; must not call RSL.
typedef void (*NotificationsCallback)(int level, int logId, const char* title, const char* message);

// Gets every log entry and replaces log files. fmt is never NULL and fits args. Must not call RSL.
typedef void (*LogEntryCallback)(const char* file, const char* function, int line, int logId, CallBackLogLevel level,
                                 const char* title, const char* fmt, va_list args);

// Has to run start(arg) exactly once on another thread.
typedef void (*SpawnRoutine)(unsigned int(__stdcall* start)(void*), ThreadPriority priority, void* arg);

class RSLStateMachine;
class RSLCheckpointUtility;

// ---- what the classes share; not for programs -------------------------------------------------------------------------

namespace detail {

inline bool AbiFits() {
    const uint32_t version = rsl_abi_version();
    return version >> 16 == static_cast<uint32_t>(RSL_ABI_MAJOR) && (version & 0xffffu) + 1 > RSL_ABI_MINOR;
}

struct ProcessCallbacks {
    NotificationsCallback notify;
    LogEntryCallback log;
};

inline ProcessCallbacks& Callbacks() {
    static ProcessCallbacks callbacks = {NULL, NULL};
    return callbacks;
}

// A va_list can only be made by a function with "...".
inline void ForwardEntry(LogEntryCallback log, const rsl_log_record* record, CallBackLogLevel level, const char* fmt, ...) {
    va_list args;
    va_start(args, fmt);
    log(record->file, record->function, record->line, record->log_id, level, record->title, fmt, args);
    va_end(args);
}

inline void OnLog(void*, const rsl_log_record* record) {
    // Alert and Assert are numbered the other way round here.
    int level = record->level;
    level = level == 5 ? 6 : level == 6 ? 5 : level;
    RSL_TRY_ {
        ForwardEntry(Callbacks().log, record, static_cast<CallBackLogLevel>(level), "%s", record->text);
    }
    RSL_CATCH_ALL_ { rsl_fatal("exception escaped the log entry callback"); }
}

inline void OnNotify(void*, int32_t level, int32_t log_id, const char* title, const char* message) {
    RSL_TRY_ { Callbacks().notify(level, log_id, title, message); }
    RSL_CATCH_ALL_ { rsl_fatal("exception escaped the notifications callback"); }
}

#ifdef _WIN32
// Paths are in the process's code page outside, in UTF-8 inside. Empty when a letter is missing or malformed on either side.
inline std::string Recode(const char* text, size_t length, unsigned int from, unsigned int to) {
    const int size = static_cast<int>(length);
    std::vector<wchar_t> wide(static_cast<size_t>(size) + 1);
    const int wides =
        size == 0 ? 0 : ::MultiByteToWideChar(from, MB_ERR_INVALID_CHARS, text, size, wide.data(), size + 1);
    // A process whose code page is UTF-8 has every letter, and Windows wants to be asked differently there.
    const bool unicode = to == CP_UTF8 || ::GetACP() == CP_UTF8;
    BOOL replaced = FALSE;
    std::vector<char> out(static_cast<size_t>(wides) * 4 + 1);
    const int bytes = wides == 0 ? 0
                                 : ::WideCharToMultiByte(to, unicode ? WC_ERR_INVALID_CHARS : WC_NO_BEST_FIT_CHARS, wide.data(),
                                                         wides, out.data(), wides * 4, NULL, unicode ? NULL : &replaced);
    return std::string(out.data(), static_cast<size_t>(replaced ? 0 : bytes));
}
// What cannot be converted becomes bytes that the library refuses as no UTF-8.
inline std::string ToUtf8(const char* text, size_t length) {
    const std::string out = Recode(text, length, CP_ACP, CP_UTF8);
    return out.empty() && length != 0 ? std::string("\xff") : out;
}
inline std::string FromUtf8(const char* text) { return Recode(text, strlen(text), CP_UTF8, CP_ACP); }
#else
inline std::string ToUtf8(const char* text, size_t length) { return std::string(text, length); }
inline std::string FromUtf8(const char* text) { return std::string(text); }
#endif

// A string of the program, or none.
class Text {
public:
    explicit Text(const char* text) : m_present(text != NULL), m_text(text == NULL ? "" : ToUtf8(text, strlen(text))) {}
    const char* Get() const { return m_present ? m_text.c_str() : NULL; }

private:
    bool m_present;
    std::string m_text;
};

// Microseconds since 1970 as a calendar time in UTC; all zero for "never".
inline SYSTEMTIME ToSystemTime(int64_t microseconds) {
    SYSTEMTIME time;
    memset(&time, 0, sizeof time);
    if (microseconds <= 0) {
        return time;
    }
    const int64_t milliseconds = microseconds / 1000;
    const int64_t days = milliseconds / 86400000;
    const int64_t rest = milliseconds % 86400000;
    // Days since 0000-03-01 in the Gregorian calendar, by eras of 400 years.
    const int64_t shifted = days + 719468;
    const int64_t era = shifted / 146097;
    const int64_t day_of_era = shifted % 146097;
    const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * day_of_year + 2) / 153;
    const int64_t calendar_month = month < 10 ? month + 3 : month - 9;
    time.wYear = static_cast<unsigned short>(year_of_era + era * 400 + (calendar_month <= 2 ? 1 : 0));
    time.wMonth = static_cast<unsigned short>(calendar_month);
    time.wDay = static_cast<unsigned short>(day_of_year - (153 * month + 2) / 5 + 1);
    time.wDayOfWeek = static_cast<unsigned short>((days + 4) % 7);
    time.wHour = static_cast<unsigned short>(rest / 3600000);
    time.wMinute = static_cast<unsigned short>(rest / 60000 % 60);
    time.wSecond = static_cast<unsigned short>(rest / 1000 % 60);
    time.wMilliseconds = static_cast<unsigned short>(rest % 1000);
    return time;
}

} // namespace detail

// ---- the process ------------------------------------------------------------------------------------------------------

inline bool STDCALL RSLInit(const char* debugLogPath, bool logDebugMessages = false, NotificationsCallback callback = NULL,
                            LogEntryCallback logEntryCallback = NULL) {
    if (!detail::AbiFits()) {
        return false;
    }
    detail::Callbacks().notify = callback;
    detail::Callbacks().log = logEntryCallback;
    const detail::Text path(debugLogPath);
    rsl_init_params params;
    memset(&params, 0, sizeof params);
    params.struct_size = sizeof params;
    params.flags = logDebugMessages ? RSL_INIT_DEBUG_LOG : 0;
    params.log_path = path.Get();
    params.notify = callback == NULL ? NULL : detail::OnNotify;
    params.log = logEntryCallback == NULL ? NULL : detail::OnLog;
    return rsl_init(&params) == RSL_OK;
}

inline void STDCALL SetMinidumpEnabled(bool enabled) { rsl_set_minidump_enabled(enabled); }

// TLS is not available yet: false, and no machine starts until it is given up with NULL, NULL.
inline bool STDCALL SetThumbprintsForSsl(const char* thumbprintA, const char* thumbprintB, bool validateCAChain,
                                         bool checkCertificateRevocation) {
    return rsl_tls_set_thumbprints(thumbprintA, thumbprintB, validateCAChain, checkCertificateRevocation) == RSL_OK;
}

inline bool STDCALL SetSubjectNamesForSsl(const char* subjectA, const char* thumbprintsParentA, const char* subjectB,
                                          const char* thumbprintsParentB, bool considerIdentitiesWhitelist) {
    return rsl_tls_set_subjects(subjectA, thumbprintsParentA, subjectB, thumbprintsParentB,
                                considerIdentitiesWhitelist) == RSL_OK;
}

inline void STDCALL EnableListenOnAllIPs() { rsl_enable_listen_on_all_ips(); }

inline void STDCALL RSLUnload() { rsl_shutdown(); }

// ---- nodes ------------------------------------------------------------------------------------------------------------

class RSLNode {
public:
    static const size_t MaxMemberIdLength = 63;

    char m_memberIdString[MaxMemberIdLength + 1];
    char m_hostName[256];
    unsigned int m_ip;            // network byte order
    unsigned short m_rslPort;
    unsigned short m_rslLearnPort; // 0 = m_rslPort + 1
    unsigned short m_appPort;
    unsigned int m_priority;

    RSLNode() : m_ip(0), m_rslPort(0), m_rslLearnPort(0), m_appPort(0), m_priority(0) {
        memset(m_memberIdString, 0, sizeof m_memberIdString);
        memset(m_hostName, 0, sizeof m_hostName);
    }

    void SetMemberIdAsUInt64(unsigned long long memberId) {
        snprintf(m_memberIdString, sizeof m_memberIdString, "%llu", memberId);
    }

    unsigned long long GetMemberIdAsUInt64() { return ParseMemberIdAsUInt64(m_memberIdString); }

    // By the prefix rules of C; 0 for what is no number.
    static unsigned long long ParseMemberIdAsUInt64(const char* memberId) {
        if (memberId == NULL || *memberId == '\0') {
            return 0;
        }
        char* end = NULL;
        const unsigned long long number = strtoull(memberId, &end, 0);
        if (*end != '\0') {
            rsl_log(4, "a member id is no number");
            return 0;
        }
        return number;
    }
};

static_assert(sizeof(RSLNode) == sizeof(rsl_node), "RSLNode and rsl_node have one layout");
static_assert(offsetof(RSLNode, m_hostName) == offsetof(rsl_node, host_name) &&
                  offsetof(RSLNode, m_ip) == offsetof(rsl_node, ip) &&
                  offsetof(RSLNode, m_rslPort) == offsetof(rsl_node, rsl_port) &&
                  offsetof(RSLNode, m_rslLearnPort) == offsetof(rsl_node, learn_port) &&
                  offsetof(RSLNode, m_appPort) == offsetof(rsl_node, app_port) &&
                  offsetof(RSLNode, m_priority) == offsetof(rsl_node, priority),
              "RSLNode and rsl_node have one layout");

namespace detail {
inline rsl_node ToC(const RSLNode& node) {
    rsl_node out;
    memset(&out, 0, sizeof out);
    memcpy(out.member_id, node.m_memberIdString, sizeof out.member_id);
    memcpy(out.host_name, node.m_hostName, sizeof out.host_name);
    out.ip = node.m_ip;
    out.rsl_port = node.m_rslPort;
    out.learn_port = node.m_rslLearnPort;
    out.app_port = node.m_appPort;
    out.priority = node.m_priority;
    return out;
}

inline RSLNode FromC(const rsl_node& node) {
    RSLNode out;
    memcpy(out.m_memberIdString, node.member_id, sizeof out.m_memberIdString);
    memcpy(out.m_hostName, node.host_name, sizeof out.m_hostName);
    out.m_ip = node.ip;
    out.m_rslPort = node.rsl_port;
    out.m_rslLearnPort = node.learn_port;
    out.m_appPort = node.app_port;
    out.m_priority = node.priority;
    return out;
}
} // namespace detail

// Deprecated; RSLNodeCollection crosses library boundaries.
typedef std::vector<RSLNode> RSLNodeArray;

class RSLNodeCollection {
public:
    RSLNodeCollection() {}
    RSLNodeCollection(const RSLNodeCollection& other) : m_nodes(other.m_nodes) {}
    RSLNodeCollection& operator=(const RSLNodeCollection& other) {
        m_nodes = other.m_nodes;
        return *this;
    }
    ~RSLNodeCollection() {}

    size_t Count() const { return m_nodes.size(); }

    void Append(const RSLNode& node) {
        // The node may be one of ours.
        const RSLNode copy(node);
        m_nodes.push_back(copy);
    }

    void Remove(size_t index) {
        CheckIndex(index);
        m_nodes.erase(m_nodes.begin() + static_cast<std::ptrdiff_t>(index));
    }

    // Ends the process for an index at or past Count().
    RSLNode& operator[](size_t index) const {
        CheckIndex(index);
        return m_nodes[index];
    }

    void Clear() { m_nodes.clear(); }

private:
    void CheckIndex(size_t index) const {
        if (index >= m_nodes.size()) {
            rsl_fatal("RSLNodeCollection: index out of range");
        }
    }

    // operator[] hands out nodes that can be changed, also of a const collection.
    mutable std::vector<RSLNode> m_nodes;
};

class RSLMemberSet {
public:
    static const unsigned int s_MaxMemberSetCookieLength = 8192;

    RSLMemberSet() {}

    RSLMemberSet(const RSLNodeCollection& nodes, void* cookie, unsigned int cookieLength) : m_nodes(nodes) {
        SetConfigurationCookie(cookie, cookieLength);
    }

    // Deprecated.
    RSLMemberSet(const RSLNodeArray& nodes, void* cookie, unsigned int cookieLength) {
        for (size_t i = 0; i < nodes.size(); i++) {
            m_nodes.Append(nodes[i]);
        }
        SetConfigurationCookie(cookie, cookieLength);
    }

    ~RSLMemberSet() {}

    size_t GetNumMembers() const { return m_nodes.Count(); }

    // NULL past the end; else valid until the set changes.
    const RSLNode* GetMemberInfo(unsigned short whichMember) const {
        return whichMember < m_nodes.Count() ? &m_nodes[whichMember] : NULL;
    }

    void GetMemberCollection(RSLNodeCollection& nodes) const { nodes = m_nodes; }

    // Deprecated. Valid until the next call, or until the set changes.
    const RSLNodeArray* GetMemberArray() const {
        m_array.clear();
        for (size_t i = 0; i < m_nodes.Count(); i++) {
            m_array.push_back(m_nodes[i]);
        }
        return &m_array;
    }

    bool IncludesMember(const char* memberId) const {
        for (size_t i = 0; memberId != NULL && i < m_nodes.Count(); i++) {
            if (strncmp(m_nodes[i].m_memberIdString, memberId, sizeof m_nodes[i].m_memberIdString) == 0) {
                return true;
            }
        }
        return false;
    }

    void SetConfigurationCookie(void* cookie, unsigned int length) {
        // The cookie may be our own.
        const char* bytes = static_cast<const char*>(cookie);
        std::vector<char> copy;
        if (bytes != NULL) {
            copy.assign(bytes, bytes + length);
        }
        m_cookie.swap(copy);
    }

    void* GetConfigurationCookie(unsigned int* length) const {
        if (length != NULL) {
            *length = static_cast<unsigned int>(m_cookie.size());
        }
        return m_cookie.empty() ? NULL : &m_cookie[0];
    }

private:
    friend class RSLStateMachine;
    friend class RSLCheckpointUtility;

    RSLMemberSet(const RSLMemberSet&) = delete;
    RSLMemberSet& operator=(const RSLMemberSet&) = delete;

    // Valid while `nodes` lives and the set does not change.
    rsl_member_view View(std::vector<rsl_node>& nodes) const {
        nodes.clear();
        for (size_t i = 0; i < m_nodes.Count(); i++) {
            nodes.push_back(detail::ToC(m_nodes[i]));
        }
        rsl_member_view view;
        memset(&view, 0, sizeof view);
        view.struct_size = sizeof view;
        view.nodes = nodes.data();
        view.node_count = nodes.size();
        view.cookie = m_cookie.data();
        view.cookie_len = static_cast<uint32_t>(m_cookie.size());
        return view;
    }

    // Takes over and releases a set of the library.
    void Take(rsl_member_set* set) {
        m_nodes.Clear();
        for (size_t i = 0; i < rsl_member_set_count(set); i++) {
            m_nodes.Append(detail::FromC(*rsl_member_set_node(set, i)));
        }
        uint32_t length = 0;
        const char* cookie = static_cast<const char*>(rsl_member_set_cookie(set, &length));
        std::vector<char> copy;
        if (cookie != NULL) {
            copy.assign(cookie, cookie + length);
        }
        m_cookie.swap(copy);
        rsl_member_set_free(set);
    }

    RSLNodeCollection m_nodes;
    mutable std::vector<char> m_cookie;
    mutable RSLNodeArray m_array;
};

// ---- configuration, health, statistics ----------------------------------------------------------------------------------

struct RSLConfigParam {
    long long m_newLeaderGracePeriodSec;
    long long m_heartBeatIntervalSec;
    long long m_electionDelaySec;
    long long m_maxElectionRandomizeSec;
    long long m_initializeRetryIntervalSec;
    long long m_prepareRetryIntervalSec;
    long long m_voteRetryIntervalSec;
    long long m_voteMaxOutstandingIntervalSec;
    long long m_cPQueryRetryIntervalSec;
    long long m_maxCheckpointIntervalSec;
    long long m_joinMessagesIntervalSec;
    long long m_maxLogLenMB;
    unsigned int m_sendTimeoutSec;
    unsigned int m_receiveTimeoutSec;
    unsigned int m_maxCacheLengthMB;
    unsigned int m_maxVotesInLog;
    unsigned int m_maxOutstandingPerReplica;
    unsigned int m_maxCheckpoints;
    unsigned int m_maxCheckpointSizeGB;
    unsigned int m_minCheckpointSpaceFileCount;
    unsigned int m_maxLogs;
    unsigned int m_logLenRandomize;
    unsigned int m_electionRandomize;
    unsigned int m_fastReadSeqThreshold;
    unsigned int m_inMemoryExecutionQueueSizeMB;
    unsigned int m_numReaderThreads;
    unsigned int m_maxMessageSizeMB;
    unsigned int m_maxMessageAlertSizeMB;
    bool m_allowPrimaryPromotionWhileCatchingUp;
    char m_workingDir[MAX_PATH + 1];
    bool m_addMemberIdToWorkingDir;
    bool m_cancelDiskIo;
    bool m_useGlobalAcceptMessagesFlag;

    RSLConfigParam()
        : m_newLeaderGracePeriodSec(15), m_heartBeatIntervalSec(2), m_electionDelaySec(10), m_maxElectionRandomizeSec(1),
          m_initializeRetryIntervalSec(1), m_prepareRetryIntervalSec(1), m_voteRetryIntervalSec(3),
          m_voteMaxOutstandingIntervalSec(480), m_cPQueryRetryIntervalSec(5), m_maxCheckpointIntervalSec(0),
          m_joinMessagesIntervalSec(1), m_maxLogLenMB(100), m_sendTimeoutSec(5), m_receiveTimeoutSec(5),
          m_maxCacheLengthMB(50), m_maxVotesInLog(10000), m_maxOutstandingPerReplica(10), m_maxCheckpoints(4),
          m_maxCheckpointSizeGB(0), m_minCheckpointSpaceFileCount(0), m_maxLogs(10), m_logLenRandomize(20),
          m_electionRandomize(10), m_fastReadSeqThreshold(0), m_inMemoryExecutionQueueSizeMB(0), m_numReaderThreads(1),
          m_maxMessageSizeMB(100), m_maxMessageAlertSizeMB(0), m_allowPrimaryPromotionWhileCatchingUp(false),
          m_addMemberIdToWorkingDir(true), m_cancelDiskIo(true), m_useGlobalAcceptMessagesFlag(false) {
        memset(m_workingDir, 0, sizeof m_workingDir);
    }
};

// What a primary knows of one member. Times are UTC, all zero for "never".
class ReplicaHealth {
public:
    char m_memberId[RSLNode::MaxMemberIdLength + 1];
    bool m_isPrimary;
    bool m_connected;
    long m_numOutstanding;
    SYSTEMTIME m_failedAt;
    SYSTEMTIME m_lastRequestSentAt;
    SYSTEMTIME m_lastRequestVotedAt;
    unsigned long long m_lastRequestVotedDecree;
    unsigned int m_consecutiveFailures;
    bool m_needsResolve;
    unsigned long long m_lastVotePayload;

    ReplicaHealth()
        : m_isPrimary(false), m_connected(false), m_numOutstanding(0), m_lastRequestVotedDecree(0),
          m_consecutiveFailures(0), m_needsResolve(false), m_lastVotePayload(0) {
        memset(m_memberId, 0, sizeof m_memberId);
        m_failedAt = m_lastRequestSentAt = m_lastRequestVotedAt = detail::ToSystemTime(0);
    }
};

// Increments since the previous snapshot, in microseconds and bytes.
struct RSLStats {
    size_t m_cbSizeOfThisStruct; // set by the caller: sizeof(RSLStats)
    unsigned long long m_cCaptureTimeInMicroseconds;
    unsigned long long m_cDecreesExecuted;
    unsigned long long m_cLogReads;
    unsigned long long m_cLogReadBytes;
    unsigned long long m_cLogReadMicroseconds;
    unsigned int m_cLogReadMaxMicroseconds;
    unsigned long long m_cLogWrites;
    unsigned long long m_cLogWriteBytes;
    unsigned long long m_cLogWriteMicroseconds;
    unsigned int m_cLogWriteMaxMicroseconds;
    unsigned long long m_cVotingTimeMicroseconds;
    unsigned int m_cVotingTimeMaxMicroseconds;
};

#if defined(_WIN64) || (defined(__LP64__) && defined(__x86_64__))
static_assert(sizeof(RSLNode) == 336 && sizeof(RSLConfigParam) == 432 && sizeof(RSLStats) == 104, "legacy layout");
static_assert(offsetof(RSLConfigParam, m_sendTimeoutSec) == 96 && offsetof(RSLConfigParam, m_workingDir) == 161 &&
                  offsetof(RSLConfigParam, m_useGlobalAcceptMessagesFlag) == 424,
              "legacy layout");
static_assert(offsetof(RSLStats, m_cLogWrites) == 56 && offsetof(RSLStats, m_cVotingTimeMaxMicroseconds) == 96,
              "legacy layout");
#endif
#ifdef _WIN64
static_assert(sizeof(ReplicaHealth) == 144 && offsetof(ReplicaHealth, m_failedAt) == 72 &&
                  offsetof(ReplicaHealth, m_lastVotePayload) == 136,
              "legacy layout");
#endif

// Given to CanBecomePrimary, and valid during it: bytes that travel with the votes of this replica.
class RSLPrimaryCookie {
public:
    RSLPrimaryCookie() : m_sink(NULL) {}
    ~RSLPrimaryCookie() {}

    // Copies the bytes; the last call wins.
    void Set(void* data, unsigned int len) {
        if (m_sink != NULL) {
            rsl_cookie_sink_set(m_sink, data, len);
        }
    }

private:
    friend class RSLStateMachine;
    RSLPrimaryCookie(const RSLPrimaryCookie&) = delete;
    RSLPrimaryCookie& operator=(const RSLPrimaryCookie&) = delete;

    rsl_cookie_sink* m_sink;
};

// ---- checkpoint streams -------------------------------------------------------------------------------------------------

// All results are Win32 error numbers.
class RSLCheckpointStreamWriter {
public:
    RSLCheckpointStreamWriter() : m_writer(NULL), m_own(false) {}
    ~RSLCheckpointStreamWriter() {
        if (m_own) {
            rsl_writer_free(m_writer);
        }
    }

    unsigned int Write(const void* data, unsigned long length) {
        return m_writer == NULL ? ERROR_INVALID_HANDLE : rsl_writer_write(m_writer, data, length);
    }

    // Nothing more is written; may be repeated.
    unsigned int Close() { return m_writer == NULL ? ERROR_INVALID_HANDLE : rsl_writer_close(m_writer); }

    // Not defined: its second type has no public definition.
    unsigned int Init(const char* fileName, RSLibImpl::CheckpointHeader* header);

private:
    friend class RSLCheckpointStreamReader;
    friend class RSLStateMachine;
    friend class RSLCheckpointUtility;

    RSLCheckpointStreamWriter(rsl_writer* writer, bool own) : m_writer(writer), m_own(own) {}
    RSLCheckpointStreamWriter(const RSLCheckpointStreamWriter&) = delete;
    RSLCheckpointStreamWriter& operator=(const RSLCheckpointStreamWriter&) = delete;

    rsl_writer* m_writer;
    bool m_own;
};

class RSLCheckpointStreamReader {
public:
    RSLCheckpointStreamReader() : m_reader(NULL), m_own(false) {}
    ~RSLCheckpointStreamReader() { Release(); }

    // Points at *bytesRead <= length bytes, valid until the next call. Short reads are normal: call again.
    unsigned int GetDataPointer(void** pointer, unsigned long length, unsigned long* bytesRead) {
        const void* data = NULL;
        uint64_t got = 0;
        const unsigned int error =
            m_reader == NULL ? ERROR_INVALID_HANDLE : rsl_reader_data_pointer(m_reader, length, &data, &got);
        if (bytesRead != NULL) {
            *bytesRead = static_cast<unsigned long>(got);
        }
        if (error == NO_ERROR && pointer != NULL) {
            *pointer = const_cast<void*>(data);
        }
        return error;
    }

    // As GetDataPointer, but copies.
    unsigned int GetData(void* buffer, unsigned long length, unsigned long* bytesRead) {
        uint64_t got = 0;
        const unsigned int error =
            m_reader == NULL ? ERROR_INVALID_HANDLE : rsl_reader_read(m_reader, buffer, length, &got);
        if (bytesRead != NULL) {
            *bytesRead = static_cast<unsigned long>(got);
        }
        return error;
    }

    unsigned int Skip(unsigned long length) {
        return m_reader == NULL ? ERROR_INVALID_HANDLE : rsl_reader_skip(m_reader, length);
    }

    unsigned int Seek(unsigned long long offset) {
        return m_reader == NULL ? ERROR_INVALID_HANDLE : rsl_reader_seek(m_reader, offset);
    }

    unsigned long long Size() { return m_reader == NULL ? 0 : rsl_reader_size(m_reader); }

    // Opens a checkpoint file; one that is open already is closed.
    unsigned int Init(const char* fileName) {
        Release();
        const detail::Text path(fileName);
        const unsigned int error = rsl_reader_open(path.Get(), &m_reader);
        m_own = error == NO_ERROR;
        m_name = m_own ? fileName : "";
        return error;
    }

    // NULL before Init; belongs to the reader.
    char* GetFileName() { return m_reader == NULL ? NULL : &m_name[0]; }

    // Creates or overwrites a file that gets new state under the header of this reader's file. The caller deletes the
    // writer after CloseWriterForThisReader. NULL on failure, and for the reader of LoadState.
    RSLCheckpointStreamWriter* CreateWriterForThisReader(const char* fileName) {
        const detail::Text path(fileName);
        rsl_writer* writer = NULL;
        if (m_reader == NULL || rsl_writer_create_like(m_reader, path.Get(), &writer) != NO_ERROR) {
            return NULL;
        }
        return new RSLCheckpointStreamWriter(writer, true);
    }

    void CloseWriterForThisReader(const char* fileName, RSLCheckpointStreamWriter* writer) {
        const detail::Text path(fileName);
        if (writer == NULL || rsl_writer_finish(writer->m_writer, path.Get()) != NO_ERROR) {
            rsl_log(4, "CloseWriterForThisReader: the checkpoint was not completed");
        }
    }

    // Not defined: its second type has no public definition.
    unsigned int Init(const char* fileName, RSLibImpl::CheckpointHeader* header);

private:
    friend class RSLStateMachine;

    explicit RSLCheckpointStreamReader(rsl_reader* reader)
        : m_reader(reader), m_own(false), m_name(detail::FromUtf8(rsl_reader_path(reader))) {}
    RSLCheckpointStreamReader(const RSLCheckpointStreamReader&) = delete;
    RSLCheckpointStreamReader& operator=(const RSLCheckpointStreamReader&) = delete;

    void Release() {
        if (m_own) {
            rsl_reader_close(m_reader);
            m_reader = NULL;
            m_own = false;
        }
    }

    rsl_reader* m_reader;
    bool m_own;
    std::string m_name;
};

// ---- additions to the legacy API ------------------------------------------------------------------------------------------

// Too many bytes of requests wait already (default bound: 512 MiB); try again later.
constexpr RSLResponseCode RSLQueueFull = static_cast<RSLResponseCode>(RSL_QUEUE_FULL);

namespace Extensions {

// Switches that the legacy configuration does not have. Set them before Initialize.
struct Options {
    unsigned int m_requestQueueLimitMB; // 0 = 512
    bool m_remoteBootstrap;             // members of a proposed set may bootstrap this replica by message
    // After a copied checkpoint, or when it gave up being primary, the machine goes on in place: requests are aborted,
    // NotifyStatus(false) if it was primary, no ShutDown, then LoadState. Otherwise the process ends with code 0.
    bool m_reloadInPlace;
    // AcceptMessageFromReplica is not overridden, or has nothing to say: it is not called, which makes votes faster.
    bool m_acceptAllMessages;

    Options() : m_requestQueueLimitMB(0), m_remoteBootstrap(true), m_reloadInPlace(false), m_acceptAllMessages(false) {}
};

// A log file that is served.
struct LogFile {
    unsigned long long m_first, m_last, m_length;
};

} // namespace Extensions

// ---- the state machine ----------------------------------------------------------------------------------------------------

class RSLStateMachine {
public:
    RSLStateMachine() : m_machine(NULL), m_spawn(NULL) {}

    // A machine that runs must be unloaded before: the derived part, which its callbacks need, is gone here.
    virtual ~RSLStateMachine() {
        if (m_machine != NULL && rsl_machine_is_running(m_machine)) {
            rsl_log(4, "an RSLStateMachine was destroyed while it runs");
            rsl_fatal("an RSLStateMachine was destroyed while it runs: call UnloadThisOne first");
        }
        rsl_machine_destroy(m_machine);
    }

    // Restores the state on this thread, listens, and takes part. With members: configuration 1 where none is stored.
    bool Initialize(RSLConfigParam* cfg, const RSLNodeCollection& rgNodes, const RSLNode& self, RSLProtocolVersion version,
                    bool serializeFastReadsWithReplicate, SpawnRoutine spawnRoutine = NULL,
                    bool IndependentHeartbeat = false) {
        const RSLMemberSet members(rgNodes, NULL, 0);
        return Start(cfg, &members, self, version, serializeFastReadsWithReplicate, spawnRoutine, IndependentHeartbeat);
    }

    // Deprecated.
    bool Initialize(RSLConfigParam* cfg, const RSLNodeArray& rgNodes, const RSLNode& self, RSLProtocolVersion version,
                    bool serializeFastReadsWithReplicate, SpawnRoutine spawnRoutine = NULL,
                    bool IndependentHeartbeat = false) {
        const RSLMemberSet members(rgNodes, NULL, 0);
        return Start(cfg, &members, self, version, serializeFastReadsWithReplicate, spawnRoutine, IndependentHeartbeat);
    }

    // Without members: bootstrapped, or to be bootstrapped. Version 4 and later.
    bool Initialize(RSLConfigParam* cfg, const RSLNode& self, RSLProtocolVersion version,
                    bool serializeFastReadsWithReplicate, SpawnRoutine spawnRoutine = NULL,
                    bool IndependentHeartbeat = false) {
        return Start(cfg, NULL, self, version, serializeFastReadsWithReplicate, spawnRoutine, IndependentHeartbeat);
    }

    RSLResponseCode Bootstrap(RSLMemberSet* memberSet, unsigned int timeout) {
        if (memberSet == NULL) {
            return RSLInvalidParameter;
        }
        std::vector<rsl_node> nodes;
        const rsl_member_view view = memberSet->View(nodes);
        return Code(rsl_machine_bootstrap(Handle(), &view, timeout), RSLBootstrapFailed);
    }

    // Loads the newest usable checkpoint of a data directory and executes its logs up to a sequence number, on this thread,
    // reading only. The newest vote of a log is not known to be chosen: compare GetCurrentSequenceNumber afterwards.
    bool Replay(const char* directory, unsigned long long maxSeqNo) {
        const detail::Text path(directory);
        return rsl_machine_replay(Handle(), path.Get(), maxSeqNo) == RSL_OK;
    }

    // And writes the state to another directory as the checkpoint of checkpointSeqNo. Both of the last two, or neither.
    bool Replay(const char* directory, unsigned long long maxSeqNo, unsigned long long checkpointSeqNo,
                const char* checkpointDirectory) {
        if ((checkpointSeqNo != 0) != (checkpointDirectory != NULL)) {
            return false;
        }
        if (checkpointDirectory == NULL) {
            return Replay(directory, maxSeqNo);
        }
        const detail::Text path(directory);
        const detail::Text into(checkpointDirectory);
        return rsl_machine_replay_to_checkpoint(Handle(), path.Get(), maxSeqNo, checkpointSeqNo, into.Get()) == RSL_OK;
    }

    // Submits a request; never calls back. After RSLSuccess the cookie comes back exactly once.
    RSLResponseCode ReplicateRequest(void* request, size_t len, void* cookie) {
        return Code(rsl_machine_replicate(Handle(), request, len, cookie, 0), RSLNotPrimary);
    }

    // Alone in its decree.
    RSLResponseCode ReplicateRequestExclusiveVote(void* request, size_t len, void* cookie) {
        return ReplicateRequestExclusiveVote(request, len, cookie, false);
    }

    // With isLastDecree this replica takes no further requests.
    RSLResponseCode ReplicateRequestExclusiveVote(void* request, size_t len, void* cookie, bool isLastDecree) {
        const uint32_t flags = isLastDecree ? RSL_REQ_EXCLUSIVE | RSL_REQ_LAST : RSL_REQ_EXCLUSIVE;
        return Code(rsl_machine_replicate(Handle(), request, len, cookie, flags), RSLNotPrimary);
    }

    RSLResponseCode FastReadRequest(unsigned long long maxSeenSeqNo, void* request, size_t len, void* cookie) {
        return FastReadRequest(maxSeenSeqNo, request, len, cookie, 0);
    }

    // timeout in milliseconds; 0 = refused rather than made to wait.
    RSLResponseCode FastReadRequest(unsigned long long maxSeenSeqNo, void* request, size_t len, void* cookie,
                                    unsigned int timeout) {
        return Code(rsl_machine_fast_read(Handle(), maxSeenSeqNo, request, len, cookie, timeout), RSLShuttingDown);
    }

    RSLResponseCode ChangeConfiguration(RSLMemberSet* memberSet, void* cookie) {
        if (memberSet == NULL) {
            return RSLInvalidParameter;
        }
        std::vector<rsl_node> nodes;
        const rsl_member_view view = memberSet->View(nodes);
        return Code(rsl_machine_change_configuration(Handle(), &view, cookie), RSLNotPrimary);
    }

    // The executed configuration; empty, and number 0, before bootstrap.
    bool GetConfiguration(RSLMemberSet* memberSet, unsigned int* number = NULL) {
        rsl_member_set* set = NULL;
        uint32_t found = 0;
        if (memberSet == NULL || rsl_machine_get_configuration(Handle(), &set, &found) != RSL_OK) {
            return false;
        }
        memberSet->Take(set);
        if (number != NULL) {
            *number = found;
        }
        return true;
    }

    RSLResponseCode CopyStateFromReplica(void* cookie) {
        return Code(rsl_machine_copy_state(Handle(), cookie), RSLShuttingDown);
    }

    void AttemptPromotion() { rsl_machine_attempt_promotion(Handle()); }
    void RelinquishPrimary() { rsl_machine_relinquish_primary(Handle()); }
    void RelinquishPrimaryStatus() { RelinquishPrimary(); }
    void ChangeElectionDelay(unsigned int delayInSecs) { rsl_machine_change_election_delay(Handle(), delayInSecs); }
    void AllowSaveState(bool yes) { rsl_machine_allow_save_state(Handle(), yes); }
    void SetVotePayload(unsigned long long payload) { rsl_machine_set_vote_payload(Handle(), payload); }
    void SetAcceptMessages(bool acceptMessages) { rsl_machine_set_accept_messages(Handle(), acceptMessages); }

    unsigned long long GetCurrentSequenceNumber() { return rsl_machine_current_sequence(Handle()); }
    unsigned long long GetHighestPassedSequenceNumber() { return rsl_machine_highest_passed_sequence(Handle()); }
    bool IsInStableState() { return rsl_machine_is_stable(Handle()) != 0; }
    bool IsAnyRequestPendingExecution() { return rsl_machine_has_pending_execution(Handle()) != 0; }

    // A hint; a node without id when it is unknown.
    void GetCurrentPrimary(RSLNode* node) {
        if (node == NULL) {
            return;
        }
        rsl_node found;
        *node = m_machine != NULL && rsl_machine_current_primary(m_machine, &found) == RSL_OK ? detail::FromC(found) : RSLNode();
    }

    // On the primary: the peers, then this replica. Returns 0, or the number of entries that are needed.
    unsigned short GetReplicasInformation(unsigned short numEntries, ReplicaHealth* replicaHealthArray) {
        std::vector<rsl_health> found(numEntries == 0 ? 1 : numEntries);
        found[0].struct_size = sizeof found[0];
        size_t count = 0;
        const rsl_status status = rsl_machine_replicas_health(Handle(), found.data(), numEntries, &count);
        if (status == RSL_E_BUFFER_TOO_SMALL) {
            return static_cast<unsigned short>(count);
        }
        for (unsigned short i = 0; replicaHealthArray != NULL && i < numEntries; i++) {
            replicaHealthArray[i] = i < count ? ToHealth(found[i]) : ReplicaHealth();
        }
        return 0;
    }

    // On the primary: the member named by m_memberId.
    bool GetReplicaInformation(ReplicaHealth* replica) {
        if (replica == NULL) {
            return false;
        }
        char member[sizeof replica->m_memberId + 1] = {0};
        memcpy(member, replica->m_memberId, sizeof replica->m_memberId);
        rsl_health found;
        memset(&found, 0, sizeof found);
        found.struct_size = sizeof found;
        if (rsl_machine_replica_health(Handle(), member, &found) != RSL_OK) {
            return false;
        }
        *replica = ToHealth(found);
        return true;
    }

    // Fills as many whole fields as m_cbSizeOfThisStruct has room for.
    void GetStatisticsSnapshot(RSLStats* stats) {
        if (stats == NULL || stats->m_cbSizeOfThisStruct < 16) {
            rsl_log(4, "GetStatisticsSnapshot: m_cbSizeOfThisStruct is not set");
            return;
        }
        rsl_stats taken;
        memset(&taken, 0, sizeof taken);
        taken.struct_size = sizeof taken;
        if (rsl_machine_stats(Handle(), &taken) == RSL_OK) {
            FillStats(stats, taken);
        }
    }

    // For tests: no more messages and timers until Resume.
    void Pause() { rsl_machine_pause(Handle()); }
    void Resume() { rsl_machine_resume(Handle()); }

    // Ends the machine. Without a SpawnRoutine the process ends with code 0.
    void UnloadThisOne() {
        if (m_machine != NULL) {
            rsl_machine_unload(m_machine);
        }
    }

    // UnloadThisOne on every machine of the process.
    static void Unload() { rsl_unload_all(); }

    static unsigned long long GetHighResolutionCurrentTickCount() { return rsl_tick_count_us(); }

    // ---- additions to the legacy API ----

    // Call it before Initialize.
    void SetOptions(const Extensions::Options& options) { m_options = options; }

    // The state of consensus, for operators; false when the machine has not started.
    bool GetEngineStatus(rsl_engine_status* status, std::vector<Extensions::LogFile>* logs) {
        memset(status, 0, sizeof *status);
        status->struct_size = sizeof *status;
        size_t count = 0;
        rsl_status result = rsl_machine_engine_status(Handle(), status);
        std::vector<rsl_log_file> files;
        while (result == RSL_OK) {
            result = rsl_machine_log_files(Handle(), files.data(), files.size(), &count);
            if (result != RSL_E_BUFFER_TOO_SMALL) {
                break;
            }
            files.resize(count + 4);
            result = RSL_OK;
        }
        logs->clear();
        for (size_t i = 0; result == RSL_OK && i < count; i++) {
            const Extensions::LogFile file = {files[i].first, files[i].last, files[i].len};
            logs->push_back(file);
        }
        return result == RSL_OK;
    }

protected:
    // What a service implements. Threads and exclusion are as the comment of rsl_callbacks in rsl_c.h says. An exception
    // that leaves a callback ends the process.

    // NULL: start empty. False: not usable, an older checkpoint is tried.
    virtual bool LoadState(RSLCheckpointStreamReader* reader) = 0;
    virtual void BeforeExecuteReplicatedRequests() {}
    virtual void AfterExecuteReplicatedRequests() {}
    virtual void ExecuteReplicatedRequest(void* request, size_t len, void* cookie, bool* saveState) = 0;
    virtual void ExecuteFastReadRequest(void* request, size_t len, void* cookie) = 0;
    virtual void AbortRequest(RSLResponseCode status, void* cookie) = 0;
    virtual void SaveState(RSLCheckpointStreamWriter* writer) = 0;
    virtual bool TrySaveState(RSLCheckpointStreamWriter* writer) {
        SaveState(writer);
        return true;
    }
    virtual void StateSaved(unsigned long long seqNo, const char* fileName) {
        (void)seqNo;
        (void)fileName;
    }
    virtual void StateCopied(unsigned long long seqNo, const char* fileName, void* cookie) {
        (void)seqNo;
        (void)fileName;
        (void)cookie;
    }
    virtual void NotifyStatus(bool isPrimary) = 0;
    virtual void NotifyPrimaryRecovered() {}
    virtual void NotifyConfigurationChanged(void* cookie) = 0;
    virtual void AbortChangeConfiguration(RSLResponseCode status, void* cookie) = 0;
    virtual bool CanBecomePrimary() { return true; }
    virtual bool CanBecomePrimary(RSLPrimaryCookie* cookie) {
        (void)cookie;
        return CanBecomePrimary();
    }
    virtual bool AcceptMessageFromReplica(RSLNode* node, void* data, unsigned int len) {
        (void)node;
        (void)data;
        (void)len;
        return true;
    }
    virtual bool ResolveNode(RSLNode* node) {
        rsl_node given = detail::ToC(*node);
        if (rsl_resolve_node(&given) != RSL_OK) {
            return false;
        }
        node->m_ip = given.ip;
        return true;
    }
    virtual void ShutDown(RSLResponseCode status) = 0;

private:
    RSLStateMachine(const RSLStateMachine&) = delete;
    RSLStateMachine& operator=(const RSLStateMachine&) = delete;

    // The result of a call; `state` is what it answers when nothing runs.
    static RSLResponseCode Code(rsl_status status, RSLResponseCode state) {
        if (status >= 0) {
            return static_cast<RSLResponseCode>(status);
        }
        return status == RSL_E_STATE ? state : RSLInvalidParameter;
    }

    // The handle, which does nothing before Initialize.
    rsl_machine* Handle() {
        if (m_machine == NULL && detail::AbiFits()) {
            rsl_machine_create(Table(), this, &m_machine);
        }
        return m_machine;
    }

    bool Start(RSLConfigParam* cfg, const RSLMemberSet* members, const RSLNode& self, RSLProtocolVersion version,
               bool serialize, SpawnRoutine spawnRoutine, bool independentHeartbeat) {
        if (cfg == NULL || !detail::AbiFits()) {
            return false;
        }
        size_t length = 0;
        while (length < sizeof cfg->m_workingDir && cfg->m_workingDir[length] != '\0') {
            length++;
        }
        const std::string directory = detail::ToUtf8(cfg->m_workingDir, length);
        const rsl_config config = ToConfig(*cfg, directory);
        std::vector<rsl_node> nodes;
        rsl_member_view view;
        if (members != NULL) {
            view = members->View(nodes);
        }
        const rsl_node node = detail::ToC(self);
        rsl_spawn spawn;
        memset(&spawn, 0, sizeof spawn);
        spawn.struct_size = sizeof spawn;
        spawn.ctx = this;
        spawn.spawn = Spawn;
        if (!rsl_machine_is_running(Handle())) {
            m_spawn = spawnRoutine;
        }
        return rsl_machine_initialize(Handle(), &config, members == NULL ? NULL : &view, &node, version, serialize,
                                      spawnRoutine == NULL ? NULL : &spawn, independentHeartbeat) == RSL_OK;
    }

    rsl_config ToConfig(const RSLConfigParam& from, const std::string& directory) const {
        rsl_config to;
        memset(&to, 0, sizeof to);
        to.struct_size = sizeof to;
        to.flags = (from.m_allowPrimaryPromotionWhileCatchingUp ? RSL_CFG_PROMOTE_WHILE_CATCHING_UP : 0u) |
                   (from.m_addMemberIdToWorkingDir ? RSL_CFG_MEMBER_ID_IN_WORKING_DIR : 0u) |
                   (from.m_cancelDiskIo ? RSL_CFG_CANCEL_DISK_IO : 0u) |
                   (from.m_useGlobalAcceptMessagesFlag ? RSL_CFG_GLOBAL_ACCEPT_FLAG : 0u) |
                   (m_options.m_remoteBootstrap ? 0u : RSL_CFG_NO_REMOTE_BOOTSTRAP) |
                   (m_options.m_reloadInPlace ? RSL_CFG_RELOAD_IN_PLACE : 0u) |
                   (m_options.m_acceptAllMessages ? RSL_CFG_ACCEPT_ALL_MESSAGES : 0u);
        to.new_leader_grace_period_sec = from.m_newLeaderGracePeriodSec;
        to.heart_beat_interval_sec = from.m_heartBeatIntervalSec;
        to.election_delay_sec = from.m_electionDelaySec;
        to.max_election_randomize_sec = from.m_maxElectionRandomizeSec;
        to.initialize_retry_interval_sec = from.m_initializeRetryIntervalSec;
        to.prepare_retry_interval_sec = from.m_prepareRetryIntervalSec;
        to.vote_retry_interval_sec = from.m_voteRetryIntervalSec;
        to.vote_max_outstanding_interval_sec = from.m_voteMaxOutstandingIntervalSec;
        to.cp_query_retry_interval_sec = from.m_cPQueryRetryIntervalSec;
        to.max_checkpoint_interval_sec = from.m_maxCheckpointIntervalSec;
        to.join_messages_interval_sec = from.m_joinMessagesIntervalSec;
        to.max_log_len_mb = from.m_maxLogLenMB;
        to.send_timeout_sec = from.m_sendTimeoutSec;
        to.receive_timeout_sec = from.m_receiveTimeoutSec;
        to.max_cache_length_mb = from.m_maxCacheLengthMB;
        to.max_votes_in_log = from.m_maxVotesInLog;
        to.max_outstanding_per_replica = from.m_maxOutstandingPerReplica;
        to.max_checkpoints = from.m_maxCheckpoints;
        to.max_checkpoint_size_gb = from.m_maxCheckpointSizeGB;
        to.min_checkpoint_space_file_count = from.m_minCheckpointSpaceFileCount;
        to.max_logs = from.m_maxLogs;
        to.log_len_randomize = from.m_logLenRandomize;
        to.election_randomize = from.m_electionRandomize;
        to.fast_read_seq_threshold = from.m_fastReadSeqThreshold;
        to.in_memory_execution_queue_size_mb = from.m_inMemoryExecutionQueueSizeMB;
        to.num_reader_threads = from.m_numReaderThreads;
        to.max_message_size_mb = from.m_maxMessageSizeMB;
        to.max_message_alert_size_mb = from.m_maxMessageAlertSizeMB;
        to.working_dir = directory.c_str();
        to.request_queue_limit_mb = m_options.m_requestQueueLimitMB;
        return to;
    }

    static ReplicaHealth ToHealth(const rsl_health& from) {
        ReplicaHealth to;
        memcpy(to.m_memberId, from.member_id, sizeof to.m_memberId);
        to.m_isPrimary = from.is_primary != 0;
        to.m_connected = from.connected != 0;
        to.m_numOutstanding = from.num_outstanding;
        to.m_failedAt = detail::ToSystemTime(from.failed_at_us);
        to.m_lastRequestSentAt = detail::ToSystemTime(from.last_request_sent_at_us);
        to.m_lastRequestVotedAt = detail::ToSystemTime(from.last_request_voted_at_us);
        to.m_lastRequestVotedDecree = from.last_request_voted_decree;
        to.m_consecutiveFailures = from.consecutive_failures;
        to.m_needsResolve = from.needs_resolve != 0;
        to.m_lastVotePayload = from.last_vote_payload;
        return to;
    }

    template <class T>
    static void Field(RSLStats* stats, T RSLStats::*field, T value) {
        const size_t end = static_cast<size_t>(reinterpret_cast<char*>(&(stats->*field)) - reinterpret_cast<char*>(stats)) + sizeof(T);
        if (end <= stats->m_cbSizeOfThisStruct) {
            stats->*field = value;
        }
    }

    static void FillStats(RSLStats* stats, const rsl_stats& from) {
        typedef unsigned long long Long;
        typedef unsigned int Int;
        Field<Long>(stats, &RSLStats::m_cCaptureTimeInMicroseconds, from.capture_time_us);
        Field<Long>(stats, &RSLStats::m_cDecreesExecuted, from.decrees_executed);
        Field<Long>(stats, &RSLStats::m_cLogReads, from.log_reads);
        Field<Long>(stats, &RSLStats::m_cLogReadBytes, from.log_read_bytes);
        Field<Long>(stats, &RSLStats::m_cLogReadMicroseconds, from.log_read_us);
        Field<Int>(stats, &RSLStats::m_cLogReadMaxMicroseconds, from.log_read_max_us);
        Field<Long>(stats, &RSLStats::m_cLogWrites, from.log_writes);
        Field<Long>(stats, &RSLStats::m_cLogWriteBytes, from.log_write_bytes);
        Field<Long>(stats, &RSLStats::m_cLogWriteMicroseconds, from.log_write_us);
        Field<Int>(stats, &RSLStats::m_cLogWriteMaxMicroseconds, from.log_write_max_us);
        Field<Long>(stats, &RSLStats::m_cVotingTimeMicroseconds, from.voting_time_us);
        Field<Int>(stats, &RSLStats::m_cVotingTimeMaxMicroseconds, from.voting_time_max_us);
    }

    // ---- threads of the program ----

    struct Thread {
        rsl_thread_main m_start;
        void* m_arg;
    };

    static unsigned int __stdcall ThreadMain(void* arg) {
        const Thread thread = *static_cast<Thread*>(arg);
        delete static_cast<Thread*>(arg);
        return thread.m_start(thread.m_arg);
    }

    static int32_t Spawn(void* ctx, rsl_thread_main start, int32_t priority, void* arg) {
        RSL_TRY_ {
            Thread* thread = new Thread;
            thread->m_start = start;
            thread->m_arg = arg;
            Self(ctx)->m_spawn(&ThreadMain, static_cast<ThreadPriority>(priority), thread);
        }
        RSL_CATCH_ALL_ { rsl_fatal("exception escaped the SpawnRoutine"); }
        return 0;
    }

    // ---- from the library to the virtual functions ----

    static RSLStateMachine* Self(void* ctx) { return static_cast<RSLStateMachine*>(ctx); }

    // No exception leaves a callback.
    template <class F>
    static void Guarded(const char* name, F call) {
        RSL_TRY_ { call(); }
        RSL_CATCH_ALL_ { rsl_fatal((std::string("exception escaped ") + name).c_str()); }
    }

    static int32_t OnLoadState(void* ctx, rsl_reader* reader) {
        bool done = false;
        Guarded("LoadState", [&] {
            if (reader == NULL) {
                done = Self(ctx)->LoadState(NULL);
            } else {
                RSLCheckpointStreamReader stream(reader);
                done = Self(ctx)->LoadState(&stream);
            }
        });
        return done;
    }
    static void OnBefore(void* ctx) {
        Guarded("BeforeExecuteReplicatedRequests", [&] { Self(ctx)->BeforeExecuteReplicatedRequests(); });
    }
    static void OnAfter(void* ctx) {
        Guarded("AfterExecuteReplicatedRequests", [&] { Self(ctx)->AfterExecuteReplicatedRequests(); });
    }
    static void OnExecute(void* ctx, const void* request, size_t len, void* cookie, int32_t* save_state) {
        bool save = false;
        Guarded("ExecuteReplicatedRequest",
                [&] { Self(ctx)->ExecuteReplicatedRequest(const_cast<void*>(request), len, cookie, &save); });
        *save_state = save;
    }
    static void OnFastRead(void* ctx, const void* request, size_t len, void* cookie) {
        Guarded("ExecuteFastReadRequest",
                [&] { Self(ctx)->ExecuteFastReadRequest(const_cast<void*>(request), len, cookie); });
    }
    static void OnAbort(void* ctx, rsl_status why, void* cookie) {
        Guarded("AbortRequest", [&] { Self(ctx)->AbortRequest(static_cast<RSLResponseCode>(why), cookie); });
    }
    static int32_t OnTrySave(void* ctx, rsl_writer* writer) {
        bool done = false;
        Guarded("TrySaveState", [&] {
            RSLCheckpointStreamWriter stream(writer, false);
            done = Self(ctx)->TrySaveState(&stream);
        });
        return done;
    }
    static void OnSaved(void* ctx, uint64_t seq, const char* file) {
        Guarded("StateSaved", [&] { Self(ctx)->StateSaved(seq, detail::FromUtf8(file).c_str()); });
    }
    static void OnCopied(void* ctx, uint64_t seq, const char* file, void* cookie) {
        Guarded("StateCopied", [&] {
            const std::string path = detail::FromUtf8(file == NULL ? "" : file);
            Self(ctx)->StateCopied(seq, file == NULL ? NULL : path.c_str(), cookie);
        });
    }
    static void OnStatus(void* ctx, int32_t is_primary) {
        Guarded("NotifyStatus", [&] { Self(ctx)->NotifyStatus(is_primary != 0); });
    }
    static void OnRecovered(void* ctx) {
        Guarded("NotifyPrimaryRecovered", [&] { Self(ctx)->NotifyPrimaryRecovered(); });
    }
    static void OnConfigurationChanged(void* ctx, void* cookie) {
        Guarded("NotifyConfigurationChanged", [&] { Self(ctx)->NotifyConfigurationChanged(cookie); });
    }
    static void OnAbortChange(void* ctx, rsl_status why, void* cookie) {
        Guarded("AbortChangeConfiguration",
                [&] { Self(ctx)->AbortChangeConfiguration(static_cast<RSLResponseCode>(why), cookie); });
    }
    static int32_t OnCanBecomePrimary(void* ctx, rsl_cookie_sink* sink) {
        bool may = false;
        Guarded("CanBecomePrimary", [&] {
            RSLPrimaryCookie cookie;
            cookie.m_sink = sink;
            may = Self(ctx)->CanBecomePrimary(&cookie);
            cookie.m_sink = NULL;
        });
        return may;
    }
    static int32_t OnAccept(void* ctx, const rsl_node* from, const void* data, uint32_t len) {
        bool accept = false;
        Guarded("AcceptMessageFromReplica", [&] {
            RSLNode node = detail::FromC(*from);
            accept = Self(ctx)->AcceptMessageFromReplica(&node, const_cast<void*>(data), len);
        });
        return accept;
    }
    static int32_t OnResolve(void* ctx, rsl_node* node) {
        bool found = false;
        Guarded("ResolveNode", [&] {
            RSLNode peer = detail::FromC(*node);
            found = Self(ctx)->ResolveNode(&peer);
            *node = detail::ToC(peer);
        });
        return found;
    }
    static void OnShutDown(void* ctx, rsl_status why) {
        Guarded("ShutDown", [&] { Self(ctx)->ShutDown(static_cast<RSLResponseCode>(why)); });
    }

    static rsl_callbacks MakeTable() {
        rsl_callbacks table;
        memset(&table, 0, sizeof table);
        table.struct_size = sizeof table;
        table.load_state = OnLoadState;
        table.before_execute = OnBefore;
        table.execute_replicated = OnExecute;
        table.after_execute = OnAfter;
        table.execute_fast_read = OnFastRead;
        table.abort_request = OnAbort;
        table.try_save_state = OnTrySave;
        table.state_saved = OnSaved;
        table.state_copied = OnCopied;
        table.notify_status = OnStatus;
        table.notify_primary_recovered = OnRecovered;
        table.notify_configuration_changed = OnConfigurationChanged;
        table.abort_change_configuration = OnAbortChange;
        table.can_become_primary = OnCanBecomePrimary;
        table.accept_message = OnAccept;
        table.resolve_node = OnResolve;
        table.shut_down = OnShutDown;
        return table;
    }

    static const rsl_callbacks* Table() {
        static const rsl_callbacks table = MakeTable();
        return &table;
    }

    rsl_machine* m_machine;
    SpawnRoutine m_spawn;
    Extensions::Options m_options;
};

} // namespace RSLib

#endif
