// Rules of the contract that take a whole machine: addresses, failing disks, catching up by a checkpoint. The first
// argument names the rule; the second is a directory, the others are ports.
#include "service.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace RSLib;

static char request[] = {1};

// ---- addresses ----

static bool Connects(const char* ip, int port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    CHECK(inet_pton(AF_INET, ip, &address.sin_addr) == 1);
    const bool connects = ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(socket);
    return connects;
}

static void StartOn(Service& service, const std::string& directory, int port) {
    RSLConfigParam config = TestConfig(directory);
    const RSLNode self = TestNode("1", port);
    RSLNodeCollection nodes;
    nodes.Append(self);
    CHECK(service.Initialize(&config, nodes, self, RSLProtocolVersion_6, false, SpawnThread));
}

// One switch for the process, for machines that are initialised after it.
static void Listen(const std::string& directory, char** ports) {
    Service before, after, last;
    const int first = atoi(ports[0]), second = atoi(ports[1]), third = atoi(ports[2]);
    StartOn(before, directory + "/before", first);
    EnableListenOnAllIPs();
    StartOn(after, directory + "/after", second);
    for (int offset = 0; offset < 2; offset++) {
        CHECK(Connects("127.0.0.1", first + offset) && !Connects("127.0.0.9", first + offset));
        CHECK(Connects("127.0.0.1", second + offset) && Connects("127.0.0.9", second + offset));
    }
    // There is no way back.
    CHECK(RSLInit(NULL));
    StartOn(last, directory + "/last", third);
    CHECK(Connects("127.0.0.9", third) && Connects("127.0.0.9", third + 1));
    RSLStateMachine::Unload();
}

// ---- disks ----

static std::atomic<int> alerts(0), asserts(0);

static void OnLogEntry(const char*, const char*, int, int, CallBackLogLevel level, const char* title, const char* fmt, va_list args) {
    char text[500];
    vsnprintf(text, sizeof text, fmt, args);
    if (level == CallBackLogLevel_Alert) {
        CHECK(strcmp(title, "the checkpoint could not be saved") == 0 && strstr(text, "error=") != NULL);
        alerts++;
    }
    asserts += level == CallBackLogLevel_Assert;
}

static void LimitFiles(rlim_t bytes) {
    rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

// Saves several blocks, and lets something happen on the way.
class Saver : public Service {
public:
    Saver() : full(false), damage(false), saves(0) {}
    std::string data;
    std::atomic<bool> full, damage;
    std::atomic<int> saves;

protected:
    void SaveState(RSLCheckpointStreamWriter* writer) {
        const std::vector<char> state(9 << 20, 's');
        if (full) {
            LimitFiles(5 << 20);
        }
        // The result is ignored, as a careless service does.
        writer->Write(state.data(), state.size());
        writer->Write("end", 3);
        if (full) {
            LimitFiles(RLIM_INFINITY);
        }
        if (damage) {
            Damage();
        }
        saves++;
    }

    bool LoadState(RSLCheckpointStreamReader* reader) {
        CHECK(reader == NULL || reader->Size() == (9 << 20) + 3);
        return true;
    }

private:
    // Changes a byte of the file that is being written.
    void Damage() {
        int changed = 0;
        DIR* temp = opendir((data + "/Temp").c_str());
        for (dirent* entry = readdir(temp); entry != NULL; entry = readdir(temp)) {
            if (strstr(entry->d_name, "Cod") == entry->d_name) {
                FILE* file = fopen((data + "/Temp/" + entry->d_name).c_str(), "r+b");
                CHECK(file != NULL && fseek(file, 3 << 20, SEEK_SET) == 0 && fputc('?', file) == '?');
                CHECK(fclose(file) == 0);
                changed++;
            }
        }
        closedir(temp);
        CHECK(changed == 1);
    }
};

static int Entries(const std::string& directory, const char* suffix) {
    int count = 0;
    DIR* handle = opendir(directory.c_str());
    for (dirent* entry = readdir(handle); entry != NULL; entry = readdir(handle)) {
        const size_t length = strlen(entry->d_name);
        count += length > strlen(suffix) && strcmp(entry->d_name + length - strlen(suffix), suffix) == 0;
    }
    closedir(handle);
    return count;
}

static void Save(Saver& service) {
    const int before = service.saves;
    service.wantSave = true;
    CHECK(Eventually([&] { return service.ReplicateRequest(request, 1, NULL) == RSLSuccess; }));
    CHECK(Eventually([&] { return service.saves == before + 1; }));
}

// A checkpoint that cannot be written, or does not verify, is deleted and reported; the one before it stays, and life goes on.
static void Disks(const std::string& directory, int port) {
    CHECK(RSLInit(NULL, false, NULL, OnLogEntry));
    signal(SIGXFSZ, SIG_IGN);
    Saver service;
    service.data = directory;
    const std::function<void()> start = [&] {
        service.recovered = false;
        StartOn(service, directory, port);
        CHECK(Eventually([&] { return service.recovered.load(); }));
    };
    start();
    Save(service);
    CHECK(Eventually([&] { return service.saved > 0; }));
    const unsigned long long first = service.saved;
    int expected = 0;
    for (std::atomic<bool>* fault : {&service.full, &service.damage}) {
        *fault = true;
        Save(service);
        *fault = false;
        expected++;
        CHECK(Eventually([&] { return alerts == expected; }));
        CHECK(Eventually([&] { return Entries(directory + "/Temp", ".tmp") == 0; }));
        CHECK(service.saved == first && Entries(directory, ".codex") == 1);
        const unsigned long long executed = service.executed;
        CHECK(service.ReplicateRequest(request, 1, NULL) == RSLSuccess);
        CHECK(Eventually([&] { return service.executed > executed; }));
        // It would be tried again after a while; here after a restart, from the old checkpoint.
        service.UnloadThisOne();
        start();
    }
    // A wrong argument is no broken belief, either.
    CHECK(service.ReplicateRequest(NULL, 1, NULL) == RSLInvalidParameter && service.ChangeConfiguration(NULL, NULL) == RSLInvalidParameter);
    CHECK(!service.Initialize(NULL, TestNode("1", port), RSLProtocolVersion_6, false));
    Save(service);
    CHECK(Eventually([&] { return service.saved > first; }));
    CHECK(Entries(directory, ".codex") == 2 && asserts == 0 && alerts == expected);
    service.UnloadThisOne();
}

// ---- catching up ----

class Late : public Service {
protected:
    void StateCopied(unsigned long long seqNo, const char* fileName, void* cookie) {
        printf("StateCopied %s %s %s\n", seqNo > 0 ? "seq" : "0", strrchr(fileName, '.'), cookie == NULL ? "NULL" : "cookie");
    }
    void ShutDown(RSLResponseCode status) {
        printf("ShutDown %d\n", status);
        fflush(stdout);
    }
};

// A replica whose logs the others have deleted copies a checkpoint and ends the process.
static void CatchUp(const std::string& directory, char** ports) {
    RSLNodeCollection nodes;
    for (int i = 0; i < 3; i++) {
        nodes.Append(TestNode(std::to_string(i + 1).c_str(), atoi(ports[i])));
    }
    Service old[2];
    for (int i = 0; i < 2; i++) {
        RSLConfigParam config = TestConfig(directory + "/" + nodes[static_cast<size_t>(i)].m_memberIdString);
        config.m_maxLogs = 1;
        config.m_maxLogLenMB = 1;
        CHECK(old[i].Initialize(&config, nodes, nodes[static_cast<size_t>(i)], RSLProtocolVersion_6, false, SpawnThread));
    }
    CHECK(Eventually([&] { return old[0].recovered || old[1].recovered; }));
    Service& leader = old[0].recovered ? old[0] : old[1];
    // Several log files, each behind a checkpoint.
    std::vector<char> large(512 << 10, 1);
    for (int i = 0; i < 14; i++) {
        CHECK(leader.ReplicateRequestExclusiveVote(large.data(), large.size(), NULL) == RSLSuccess);
    }
    rsl_engine_status status;
    std::vector<Extensions::LogFile> logs;
    for (int i = 0; i < 2; i++) {
        CHECK(Eventually([&] { return old[i].GetEngineStatus(&status, &logs) && !logs.empty() && logs[0].m_first > 2 && status.checkpointed_decree > 2; }));
    }
    RSLConfigParam config = TestConfig(directory + "/3");
    Late* late = new Late;
    CHECK(late->Initialize(&config, nodes, nodes[2], RSLProtocolVersion_6, false));
    std::this_thread::sleep_for(std::chrono::seconds(60));
}

// ---- going on in place ----

class Asked : public Service {
public:
    Asked() : accepts(0) {}
    std::atomic<int> accepts;

protected:
    bool AcceptMessageFromReplica(RSLNode*, void*, unsigned int) {
        accepts++;
        return true;
    }
};

static std::atomic<int> exits(0);

static int32_t Keep(void*, rsl_machine* machine, int32_t reason, int32_t code) {
    CHECK(machine != NULL && reason == RSL_EXIT_REASON_SHUTDOWN && code == 0);
    exits++;
    return 1;
}

// A primary that relinquishes is loaded again in place: by the switch, or because the exit policy wants the process to live.
static void Reload(const std::string& directory, char** ports, bool policy) {
    if (policy) {
        rsl_exit_policy keep;
        memset(&keep, 0, sizeof keep);
        keep.struct_size = sizeof keep;
        keep.on_exit = Keep;
        CHECK(rsl_set_exit_policy(&keep) == RSL_OK);
    }
    RSLNodeCollection nodes;
    for (int i = 0; i < 3; i++) {
        nodes.Append(TestNode(std::to_string(i + 1).c_str(), atoi(ports[i])));
    }
    Asked services[3];
    for (size_t i = 0; i < 3; i++) {
        Extensions::Options options;
        options.m_reloadInPlace = !policy;
        // With the other switch nobody is asked about messages.
        options.m_acceptAllMessages = policy;
        services[i].SetOptions(options);
        RSLConfigParam config = TestConfig(directory + "/" + nodes[i].m_memberIdString);
        CHECK(services[i].Initialize(&config, nodes, nodes[i], RSLProtocolVersion_6, false, SpawnThread));
    }
    size_t first = 0;
    CHECK(Eventually([&] {
        for (first = 0; first < 3 && !services[first].recovered; first++) {
        }
        return first < 3;
    }));
    Asked& old = services[first];
    CHECK(old.ReplicateRequest(request, 1, NULL) == RSLSuccess);
    CHECK(Eventually([&] { return old.executed == 1; }));
    old.TakeLog();
    old.RelinquishPrimary();
    CHECK(Eventually([&] { return old.loads == 2; }));
    const std::vector<std::string> log = old.TakeLog();
    CHECK(log.size() == 2 && log[0] == "NotifyStatus(false)" && log[1] == "LoadState");
    CHECK(exits == (policy ? 1 : 0) && old.shutDowns == 0);
    // The same object follows the next primary.
    const unsigned long long executed = old.executed;
    CHECK(Eventually([&] {
        for (size_t i = 0; i < 3; i++) {
            services[i].ReplicateRequest(request, 1, NULL);
        }
        return old.executed > executed + 1 && old.IsInStableState();
    }));
    for (size_t i = 0; i < 3; i++) {
        CHECK((services[i].accepts > 0) == !policy || (!policy && i == first));
    }
    RSLStateMachine::Unload();
    for (size_t i = 0; i < 3; i++) {
        CHECK(services[i].shutDowns == 1);
    }
    CHECK(exits == (policy ? 1 : 0));
}

int main(int argc, char** argv) {
    CHECK(argc >= 4);
    const std::string rule = argv[1], directory = argv[2];
    CHECK(mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST);
    if (rule == "listen" && argc == 6) {
        Listen(directory, argv + 3);
    } else if (rule == "disks") {
        Disks(directory, atoi(argv[3]));
    } else if ((rule == "reload" || rule == "keep") && argc == 6) {
        Reload(directory, argv + 3, rule == "keep");
    } else if (rule == "catch up" && argc == 6) {
        CatchUp(directory, argv + 3);
        return 98;
    } else {
        return 97;
    }
    puts("done");
    return 0;
}
