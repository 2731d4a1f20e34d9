// The C++ replica host: the host contract over include/rsl.h, and nothing else of the library.

#ifdef _WIN32
#include <winsock2.h>
#endif

#include "control.h"

using namespace RSLib;
using host::Wrong;

namespace {

const char usage[] =
    "usage: rsl-host --id ID --dir DIR --version 1..6 --members id@ip:port[:learnport][/hostname],... [options]\n"
    "  --self MEMBER  --new-api  --bootstrap  --bootstrap-timeout S  --control PORT  --events FILE  --execlog FILE\n"
    "  --trace FILE  --original-defaults  --listen-all  --independent-heartbeat 0/1  --serialize-fastreads 0/1\n"
    "  --cookie HEX  --cannot-become  --print-config  --ssl-thumbs A[,B]  --ssl-validate-ca  --<configParam> N\n";

// The parameters of RSLConfigParam, and what tests run with; -1 = the library's default.
struct Param {
    const char* name;
    int testDefault;
    long long RSLConfigParam::*wide;
    unsigned int RSLConfigParam::*narrow;
    bool RSLConfigParam::*flag;
};

#define WIDE(name, field, value) {name, value, &RSLConfigParam::field, NULL, NULL}
#define NARROW(name, field, value) {name, value, NULL, &RSLConfigParam::field, NULL}
#define FLAG(name, field, value) {name, value, NULL, NULL, &RSLConfigParam::field}
const Param params[] = {
    WIDE("newLeaderGracePeriodSec", m_newLeaderGracePeriodSec, 3),
    WIDE("heartBeatIntervalSec", m_heartBeatIntervalSec, 1),
    WIDE("electionDelaySec", m_electionDelaySec, 4),
    WIDE("maxElectionRandomizeSec", m_maxElectionRandomizeSec, 1),
    WIDE("initializeRetryIntervalSec", m_initializeRetryIntervalSec, 1),
    WIDE("prepareRetryIntervalSec", m_prepareRetryIntervalSec, 1),
    WIDE("voteRetryIntervalSec", m_voteRetryIntervalSec, 1),
    WIDE("voteMaxOutstandingIntervalSec", m_voteMaxOutstandingIntervalSec, 300),
    WIDE("cPQueryRetryIntervalSec", m_cPQueryRetryIntervalSec, 1),
    WIDE("maxCheckpointIntervalSec", m_maxCheckpointIntervalSec, 0),
    WIDE("joinMessagesIntervalSec", m_joinMessagesIntervalSec, 1),
    WIDE("maxLogLenMB", m_maxLogLenMB, 1),
    NARROW("sendTimeoutSec", m_sendTimeoutSec, 5),
    NARROW("receiveTimeoutSec", m_receiveTimeoutSec, 5),
    NARROW("maxCacheLengthMB", m_maxCacheLengthMB, 50),
    NARROW("maxVotesInLog", m_maxVotesInLog, 10000),
    NARROW("maxOutstandingPerReplica", m_maxOutstandingPerReplica, 10),
    NARROW("maxCheckpoints", m_maxCheckpoints, 4),
    NARROW("maxCheckpointSizeGB", m_maxCheckpointSizeGB, -1),
    NARROW("minCheckpointSpaceFileCount", m_minCheckpointSpaceFileCount, -1),
    NARROW("maxLogs", m_maxLogs, 10),
    NARROW("logLenRandomize", m_logLenRandomize, 0),
    NARROW("electionRandomize", m_electionRandomize, 50),
    NARROW("fastReadSeqThreshold", m_fastReadSeqThreshold, 5),
    NARROW("inMemoryExecutionQueueSizeMB", m_inMemoryExecutionQueueSizeMB, 10),
    NARROW("numReaderThreads", m_numReaderThreads, 2),
    NARROW("maxMessageSizeMB", m_maxMessageSizeMB, 100),
    NARROW("maxMessageAlertSizeMB", m_maxMessageAlertSizeMB, -1),
    FLAG("allowPrimaryPromotionWhileCatchingUp", m_allowPrimaryPromotionWhileCatchingUp, -1),
    FLAG("addMemberIdToWorkingDir", m_addMemberIdToWorkingDir, 0),
    FLAG("cancelDiskIo", m_cancelDiskIo, -1),
    FLAG("useGlobalAcceptMessagesFlag", m_useGlobalAcceptMessagesFlag, -1),
};

void Set(RSLConfigParam& config, const Param& param, int64_t value) {
    if (param.wide != NULL) {
        config.*param.wide = value;
    } else if (param.narrow != NULL) {
        // What the field cannot hold becomes what the library refuses.
        config.*param.narrow = value < 0 || value > UINT32_MAX ? UINT32_MAX : static_cast<unsigned int>(value);
    } else {
        config.*param.flag = value != 0;
    }
}

int64_t Get(const RSLConfigParam& config, const Param& param) {
    return param.wide != NULL ? config.*param.wide : param.narrow != NULL ? int64_t(config.*param.narrow) : int64_t(config.*param.flag);
}

// The command line.
struct Options {
    std::string id, dir, members, self, control, events, execlog, trace, cookie, thumbs;
    uint64_t version, bootstrapTimeout;
    bool newApi, bootstrap, originalDefaults, listenAll, independentHeartbeat, serializeFastReads, cannotBecome, printConfig, validateCa;
    std::map<std::string, int64_t> config;

    Options()
        : version(0), bootstrapTimeout(30), newApi(false), bootstrap(false), originalDefaults(false), listenAll(false),
          independentHeartbeat(false), serializeFastReads(false), cannotBecome(false), printConfig(false), validateCa(false) {}
};

bool Switch(const std::string& text) {
    if (text != "0" && text != "1") {
        throw Wrong("expected 0 or 1");
    }
    return text == "1";
}

Options Parse(const std::vector<std::string>& words) {
    Options o;
    const std::map<std::string, bool*> flags = {{"--new-api", &o.newApi}, {"--bootstrap", &o.bootstrap}, {"--original-defaults", &o.originalDefaults}, {"--listen-all", &o.listenAll}, {"--cannot-become", &o.cannotBecome}, {"--print-config", &o.printConfig}, {"--ssl-validate-ca", &o.validateCa}};
    const std::map<std::string, std::string*> texts = {{"--id", &o.id}, {"--dir", &o.dir}, {"--members", &o.members}, {"--self", &o.self}, {"--control", &o.control}, {"--events", &o.events}, {"--execlog", &o.execlog}, {"--trace", &o.trace}, {"--cookie", &o.cookie}, {"--ssl-thumbs", &o.thumbs}};
    for (size_t i = 0; i < words.size(); i++) {
        const std::string& word = words[i];
        if (flags.count(word) != 0) {
            *flags.at(word) = true;
            continue;
        }
        const Param* param = NULL;
        for (size_t p = 0; p < sizeof params / sizeof *params; p++) {
            param = word == std::string("--") + params[p].name ? &params[p] : param;
        }
        const bool known = texts.count(word) != 0 || param != NULL || word == "--version" || word == "--bootstrap-timeout" || word == "--independent-heartbeat" || word == "--serialize-fastreads";
        if (!known) {
            throw Wrong("unknown option " + word);
        }
        if (i + 1 == words.size()) {
            throw Wrong(word + " needs a value");
        }
        const std::string& value = words[++i];
        if (texts.count(word) != 0) {
            *texts.at(word) = value;
        } else if (param != NULL) {
            o.config[param->name] = host::ParseSigned(value, word);
        } else if (word == "--version") {
            o.version = host::ParseNumber(value, word, 6);
        } else if (word == "--bootstrap-timeout") {
            o.bootstrapTimeout = host::ParseNumber(value, word, UINT32_MAX);
        } else if (word == "--independent-heartbeat") {
            o.independentHeartbeat = Switch(value);
        } else {
            o.serializeFastReads = Switch(value);
        }
    }
    if (o.id.empty() || o.dir.empty() || o.version == 0) {
        throw Wrong("--id, --dir and --version are needed");
    }
    return o;
}

// This node: among the members, or given apart.
RSLNode Self(const Options& o, const RSLNodeCollection& members) {
    RSLNode node;
    if (!o.self.empty()) {
        node = host::ParseMember(o.self);
    }
    for (size_t i = 0; o.self.empty() && i < members.Count(); i++) {
        if (o.id == members[i].m_memberIdString) {
            node = members[i];
        }
    }
    if (o.id != node.m_memberIdString) {
        throw Wrong("--id is not among --members, and --self does not name it");
    }
    return node;
}

RSLConfigParam Configure(const Options& o) {
    RSLConfigParam config;
    host::Copy(config.m_workingDir, sizeof config.m_workingDir, o.dir, "--dir");
    for (size_t p = 0; p < sizeof params / sizeof *params; p++) {
        const Param& param = params[p];
        const std::map<std::string, int64_t>::const_iterator given = o.config.find(param.name);
        if (given != o.config.end()) {
            Set(config, param, given->second);
        } else if (!o.originalDefaults && param.testDefault >= 0) {
            Set(config, param, param.testDefault);
        }
    }
    return config;
}

host::LogFile& Trace() {
    static host::LogFile trace;
    return trace;
}

void OnNotification(int level, int logId, const char* title, const char* message) {
    printf("NOTIFY level=%d id=%d %s%s%s\n", level, logId, title, message == NULL ? "" : ": ", message == NULL ? "" : message);
    fflush(stdout);
}

void OnLogEntry(const char*, const char* function, int, int logId, CallBackLogLevel level, const char* title, const char* fmt, va_list args) {
    char text[2048];
    vsnprintf(text, sizeof text, fmt, args);
    Trace().Event("level=" + std::to_string(int(level)) + " id=" + std::to_string(logId) + " " + function + " " + title + " " + text);
}

void Say(const std::string& line) {
    printf("%s\n", line.c_str());
    fflush(stdout);
}

int Run(const Options& o) {
    const RSLNodeCollection members = o.members.empty() ? RSLNodeCollection() : host::ParseMembers(o.members);
    const RSLNode self = Self(o, members);
    const host::Bytes cookie = host::ParseHex(o.cookie);
    // Lives as long as the process: threads of the library and of the control port use it.
    host::Machine& machine = *new host::Machine;
    if ((!o.events.empty() && !machine.events.Open(o.events)) || (!o.execlog.empty() && !machine.execLog.Open(o.execlog)) || (!o.trace.empty() && !Trace().Open(o.trace))) {
        throw Wrong("a log file cannot be opened");
    }
    host::Socket listener = host::Socket();
    if (!o.control.empty() && !host::Listen(static_cast<unsigned short>(host::ParseNumber(o.control, "--control", 65535)), &listener)) {
        fprintf(stderr, "rsl-host: the control port is taken\n");
        return 3;
    }
    if (!RSLInit(NULL, false, OnNotification, o.trace.empty() ? NULL : OnLogEntry)) {
        return 4;
    }
    if (!o.thumbs.empty()) {
        const std::vector<std::string> thumbs = host::Split(o.thumbs, ',');
        if (!SetThumbprintsForSsl(thumbs[0].c_str(), thumbs.size() > 1 ? thumbs[1].c_str() : NULL, o.validateCa, false)) {
            return 6;
        }
    }
    if (o.listenAll) {
        EnableListenOnAllIPs();
    }
    machine.mayLead = !o.cannotBecome;
    machine.SetCookie(cookie);
    RSLConfigParam config = Configure(o);
    for (size_t p = 0; o.printConfig && p < sizeof params / sizeof *params; p++) {
        Say(std::string(params[p].name) + " " + std::to_string(Get(config, params[p])));
    }
    const bool newApi = o.newApi || o.bootstrap || (o.version >= 4 && o.members.empty());
    machine.events.Event("START id=" + o.id + " version=" + std::to_string(o.version) + " newApi=" + std::to_string(int(newApi)));
    const RSLProtocolVersion version = static_cast<RSLProtocolVersion>(o.version);
    const bool started = newApi ? machine.Initialize(&config, self, version, o.serializeFastReads, NULL, o.independentHeartbeat)
                                : machine.Initialize(&config, members, self, version, o.serializeFastReads, NULL, o.independentHeartbeat);
    if (!started) {
        Say("INIT FAILED");
        return 5;
    }
    static host::Commands commands(machine, o.id);
    if (!o.control.empty()) {
        host::Serve(listener, commands);
    }
    Say("READY");
    if (o.bootstrap) {
        RSLMemberSet set(members, NULL, 0);
        Say(std::string("BOOTSTRAP ") + host::CodeName(machine.Bootstrap(&set, static_cast<unsigned int>(o.bootstrapTimeout))));
    }
    // The library, or a command, ends the process.
    for (;;) {
        std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

} // namespace

int main(int argc, char** argv) {
    int code = 2;
    try {
        code = Run(Parse(std::vector<std::string>(argv + 1, argv + argc)));
    } catch (const Wrong& wrong) {
        fprintf(stderr, "rsl-host: %s\n%s", wrong.what(), usage);
    }
    fflush(NULL);
    std::_Exit(code);
}
