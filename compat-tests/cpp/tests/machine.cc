// Every public member of RSLStateMachine and of the streams, on a sole member: before Initialize, while it runs, inside
// callbacks, after UnloadThisOne, and again.
#include "service.h"

using namespace RSLib;

static char request[] = {1};

// Columns U, F and X of the table of results.
static void NothingRuns(Service& service) {
    RSLMemberSet set;
    RSLNodeCollection nodes;
    nodes.Append(TestNode("1", 1));
    RSLMemberSet valid(nodes, NULL, 0);
    CHECK(service.ReplicateRequest(request, 1, NULL) == RSLNotPrimary);
    CHECK(service.ReplicateRequestExclusiveVote(request, 1, NULL) == RSLNotPrimary);
    CHECK(service.ReplicateRequestExclusiveVote(request, 1, NULL, true) == RSLNotPrimary);
    CHECK(service.FastReadRequest(0, request, 1, NULL) == RSLShuttingDown);
    CHECK(service.FastReadRequest(0, request, 1, NULL, 10) == RSLShuttingDown);
    CHECK(service.ChangeConfiguration(&valid, NULL) == RSLNotPrimary);
    CHECK(service.ChangeConfiguration(&set, NULL) == RSLInvalidParameter);
    CHECK(service.ChangeConfiguration(NULL, NULL) == RSLInvalidParameter);
    CHECK(service.Bootstrap(&valid, 1) == RSLBootstrapFailed && service.Bootstrap(NULL, 1) == RSLInvalidParameter);
    CHECK(service.CopyStateFromReplica(NULL) == RSLShuttingDown);
    CHECK(!service.GetConfiguration(&set) && !service.GetConfiguration(NULL));
    CHECK(service.GetCurrentSequenceNumber() == 0 && service.GetHighestPassedSequenceNumber() == 0);
    RSLNode node = TestNode("9", 9);
    service.GetCurrentPrimary(&node);
    CHECK(node.m_memberIdString[0] == 0 && node.m_rslPort == 0);
    ReplicaHealth health[2];
    strcpy(health[1].m_memberId, "1");
    CHECK(service.GetReplicasInformation(2, health) == 0 && health[1].m_memberId[0] == 0);
    strcpy(health[0].m_memberId, "1");
    CHECK(!service.GetReplicaInformation(&health[0]) && !service.GetReplicaInformation(NULL));
    CHECK(!service.IsInStableState() && !service.IsAnyRequestPendingExecution());
    service.AttemptPromotion();
    service.RelinquishPrimary();
    service.RelinquishPrimaryStatus();
    service.ChangeElectionDelay(1);
    service.AllowSaveState(true);
    service.SetVotePayload(1);
    service.SetAcceptMessages(true);
    service.Pause();
    service.Resume();
    RSLStats stats;
    memset(&stats, 0x55, sizeof stats);
    stats.m_cbSizeOfThisStruct = sizeof stats;
    service.GetStatisticsSnapshot(&stats);
    service.UnloadThisOne();
    service.UnloadThisOne();
    RSLStateMachine::Unload();
    CHECK(service.Replay("nowhere", 0));
    CHECK(!service.Replay(NULL, 0) && !service.Replay("nowhere", 1, 1, NULL) && !service.Replay("nowhere", 1, 0, "x"));
}

static void Refusals(Service& service, const std::string& directory, int port) {
    RSLConfigParam config = TestConfig(directory);
    const RSLNode self = TestNode("1", port);
    RSLNodeCollection nodes;
    CHECK(!service.Initialize(NULL, self, RSLProtocolVersion_6, false));
    CHECK(!service.Initialize(&config, self, RSLProtocolVersion_3, false));
    CHECK(!service.Initialize(&config, nodes, self, RSLProtocolVersion_6, false));
    CHECK(!service.Initialize(&config, self, static_cast<RSLProtocolVersion>(7), false));
    nodes.Append(self);
    nodes.Append(self);
    CHECK(!service.Initialize(&config, nodes, self, RSLProtocolVersion_6, false));
    config.m_maxLogs = 0;
    CHECK(!service.Initialize(&config, self, RSLProtocolVersion_6, false));
    config = RSLConfigParam();
    CHECK(!service.Initialize(&config, self, RSLProtocolVersion_6, false));
    memset(config.m_workingDir, 'x', sizeof config.m_workingDir);
    CHECK(!service.Initialize(&config, self, RSLProtocolVersion_6, false));
    CHECK(service.loads == 0);
}

static void Requests(Service& service) {
    service.inside = [&service] {
        // Legal inside a callback, never recursive.
        CHECK(service.ReplicateRequest(request, 1, reinterpret_cast<void*>(size_t(1000))) == RSLSuccess);
        CHECK(service.GetCurrentSequenceNumber() > 0 && service.IsAnyRequestPendingExecution());
        service.SetVotePayload(3);
        service.AllowSaveState(true);
        service.AttemptPromotion();
        // Forbidden: answered, and nothing hangs.
        RSLNodeCollection nodes;
        nodes.Append(TestNode("1", 1));
        RSLMemberSet set(nodes, NULL, 0);
        RSLConfigParam config = TestConfig("nowhere");
        CHECK(service.Bootstrap(&set, 60) == RSLInvalidParameter);
        CHECK(!service.Initialize(&config, TestNode("1", 1), RSLProtocolVersion_6, false));
        service.Pause();
        service.Resume();
        RSLUnload();
    };
    for (size_t cookie = 1; cookie <= 10; cookie++) {
        char own[] = {1};
        CHECK(service.ReplicateRequest(own, 1, reinterpret_cast<void*>(cookie)) == RSLSuccess);
        own[0] = 99; // ours again
    }
    CHECK(service.ReplicateRequestExclusiveVote(request, 1, reinterpret_cast<void*>(size_t(11))) == RSLSuccess);
    CHECK(service.ReplicateRequestExclusiveVote(request, 1, NULL, false) == RSLSuccess);
    CHECK(Eventually([&] { return service.executed == 13; }));
    CHECK(service.sum == 13 && service.cookies == 66 + 1000);
    CHECK(service.befores == service.afters && service.befores >= 3);
    CHECK(service.ReplicateRequest(NULL, 0, NULL) == RSLInvalidParameter);
    CHECK(service.ReplicateRequest(NULL, 1, NULL) == RSLInvalidParameter);
    CHECK(service.ReplicateRequest(request, size_t(5) << 30, NULL) == RSLInvalidParameter);
    // Bytes are copied, and each cookie comes back once.
    for (int i = 0; i < 100; i++) {
        char own[] = {1};
        CHECK(service.FastReadRequest(service.GetCurrentSequenceNumber(), own, 1, reinterpret_cast<void*>(size_t(5))) == RSLSuccess);
        own[0] = 99;
    }
    CHECK(service.FastReadRequest(0, request, 1, reinterpret_cast<void*>(size_t(6)), 100) == RSLSuccess);
    CHECK(Eventually([&] { return service.reads == 506; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(service.reads == 506);
    CHECK(service.FastReadRequest(~0ull, request, 1, NULL, 100) == RSLFastReadStale);
}

static void Queries(Service& service, int port) {
    CHECK(service.IsInStableState());
    RSLMemberSet set;
    unsigned int number = 0;
    CHECK(service.GetConfiguration(&set) && service.GetConfiguration(&set, &number));
    CHECK(number == 1 && set.GetNumMembers() == 1 && set.GetMemberInfo(0)->m_rslLearnPort == 0);
    RSLNode node;
    service.GetCurrentPrimary(&node);
    CHECK(strcmp(node.m_memberIdString, "1") == 0 && node.m_rslLearnPort == port + 1);
    ReplicaHealth health[3];
    memset(static_cast<void*>(&health[1]), 0x55, sizeof health[1]);
    CHECK(service.GetReplicasInformation(0, NULL) == 1);
    CHECK(service.GetReplicasInformation(3, health) == 0);
    CHECK(health[0].m_isPrimary && health[0].m_connected && health[0].m_lastRequestVotedAt.wYear >= 2024);
    CHECK(health[0].m_failedAt.wYear == 0 && health[1].m_memberId[0] == 0 && health[1].m_lastVotePayload == 0);
    strcpy(health[1].m_memberId, "1");
    CHECK(service.GetReplicaInformation(&health[1]) && health[1].m_isPrimary);
    strcpy(health[1].m_memberId, "2");
    CHECK(!service.GetReplicaInformation(&health[1]));
    struct {
        RSLStats stats;
        unsigned long long behind;
    } room;
    memset(&room, 0x55, sizeof room);
    room.stats.m_cbSizeOfThisStruct = 8;
    service.GetStatisticsSnapshot(&room.stats);
    CHECK(room.stats.m_cCaptureTimeInMicroseconds == 0x5555555555555555ull);
    room.stats.m_cbSizeOfThisStruct = 24;
    service.GetStatisticsSnapshot(&room.stats);
    CHECK(room.stats.m_cDecreesExecuted > 0 && room.stats.m_cLogReads == 0x5555555555555555ull);
    room.stats.m_cbSizeOfThisStruct = sizeof room;
    service.GetStatisticsSnapshot(&room.stats);
    CHECK(room.stats.m_cLogWrites < 1000 && room.behind == 0x5555555555555555ull);
    const unsigned long long before = RSLStateMachine::GetHighResolutionCurrentTickCount();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CHECK(RSLStateMachine::GetHighResolutionCurrentTickCount() - before >= 2000);
    CHECK(service.CopyStateFromReplica(reinterpret_cast<void*>(size_t(7))) == RSLSuccess);
    CHECK(Eventually([&] { return service.copied == 7; }));
    service.ChangeElectionDelay(0);
    service.RelinquishPrimary();
    service.Pause();
    service.Pause();
    service.Resume();
    service.Resume();
    rsl_engine_status status;
    std::vector<Extensions::LogFile> logs;
    CHECK(service.GetEngineStatus(&status, &logs) && status.role == 1 && !logs.empty());
}

static void Checkpoint(Service& service, const std::string& copy) {
    service.wantSave = true;
    CHECK(service.ReplicateRequest(request, 1, NULL) == RSLSuccess);
    CHECK(Eventually([&] { return service.saved > 0; }));
    RSLCheckpointStreamReader reader;
    CHECK(reader.Init(service.SavedFile().c_str()) == NO_ERROR);
    CHECK(service.SavedFile() == reader.GetFileName() && reader.Size() == 8);
    void* data = NULL;
    CHECK(reader.GetDataPointer(&data, 100, NULL) == NO_ERROR && *static_cast<unsigned char*>(data) == 14);
    unsigned long got = 1;
    CHECK(reader.GetDataPointer(&data, 1, &got) == ERROR_HANDLE_EOF && got == 0);
    CHECK(reader.Seek(8) == NO_ERROR && reader.Seek(9) == ERROR_HANDLE_EOF && reader.Seek(0) == NO_ERROR);
    CHECK(reader.Skip(0) == NO_ERROR && reader.Skip(8) == NO_ERROR && reader.Skip(1) == ERROR_HANDLE_EOF);
    RSLCheckpointStreamWriter* writer = reader.CreateWriterForThisReader(copy.c_str());
    CHECK(writer != NULL && writer->Write("12345", 5) == NO_ERROR && writer->Write("", 0) == NO_ERROR);
    reader.CloseWriterForThisReader(copy.c_str(), writer);
    delete writer;
    CHECK(reader.Init(copy.c_str()) == NO_ERROR && reader.Size() == 5);
    CHECK(reader.CreateWriterForThisReader("no such directory/x") == NULL);
}

static void Reconfigure(Service& service, int port) {
    RSLNodeCollection nodes;
    nodes.Append(TestNode("1", port));
    char bytes[] = "set cookie";
    RSLMemberSet set(nodes, bytes, 10);
    service.TakeLog();
    service.primary = service.recovered = false;
    CHECK(service.ChangeConfiguration(&set, reinterpret_cast<void*>(size_t(77))) == RSLSuccess);
    CHECK(Eventually([&] { return service.changes == 1; }));
    CHECK(service.changedCookie == 77);
    RSLMemberSet now;
    unsigned int number = 0, length = 0;
    CHECK(service.GetConfiguration(&now, &number) && number == 2);
    CHECK(memcmp(now.GetConfigurationCookie(&length), bytes, 10) == 0 && length == 10);
    std::vector<char> longCookie(9000);
    set.SetConfigurationCookie(longCookie.data(), 9000);
    CHECK(service.ChangeConfiguration(&set, NULL) == RSLInvalidParameter);
    CHECK(Eventually([&] { return service.ReplicateRequest(request, 1, NULL) == RSLSuccess; }));
}

static void Start(Service& service, const std::string& directory, int port) {
    RSLConfigParam config = TestConfig(directory);
    const RSLNode self = TestNode("1", port);
    RSLNodeArray nodes;
    nodes.push_back(self);
    service.primary = service.recovered = false;
    Extensions::Options options;
    options.m_requestQueueLimitMB = 64;
    service.SetOptions(options);
    CHECK(service.Initialize(&config, nodes, self, RSLProtocolVersion_6, true, SpawnThread, true));
    config.m_workingDir[0] = '\0'; // copied
    CHECK(Eventually([&] { return service.recovered.load(); }));
    CHECK(!service.Initialize(&config, nodes, self, RSLProtocolVersion_6, true, SpawnThread));
}

int main(int argc, char** argv) {
    CHECK(argc == 4);
    const std::string directory = argv[1], copy = argv[2];
    const int port = atoi(argv[3]);
    CHECK(RSLInit(NULL, false));
    {
        Service service;
        NothingRuns(service);
        Refusals(service, directory, port);
        NothingRuns(service);
        // From inside NotifyStatus(true) on, requests are taken.
        std::atomic<int> inStatus(-1);
        service.atStatus = [&] { inStatus = service.ReplicateRequest(request, 1, NULL); };
        Start(service, directory, port);
        CHECK(inStatus == RSLSuccess && Spawned() >= 4 && service.loads == 1 && service.asked >= 1);
        const std::vector<std::string> order = service.TakeLog();
        CHECK(order.size() >= 3 && order[0] == "LoadState" && order[1] == "NotifyStatus(true)" && order[2] == "NotifyPrimaryRecovered");
        service.atStatus = nullptr;
        CHECK(Eventually([&] { return service.executed == 1; }));
        service.sum = service.executed = service.cookies = 0;
        Requests(service);
        Queries(service, port);
        Checkpoint(service, copy);
        const std::vector<std::string> saving = service.TakeLog();
        CHECK(saving.size() >= 2 && saving[saving.size() - 2] == "TrySaveState" && saving.back() == "StateSaved");
        Reconfigure(service, port);
        // The last request: nothing more is taken.
        CHECK(Eventually([&] { return service.ReplicateRequestExclusiveVote(request, 1, NULL, true) == RSLSuccess; }));
        CHECK(service.ReplicateRequest(request, 1, NULL) == RSLShuttingDown);
        service.TakeLog();
        const unsigned long long sum = service.sum;
        service.UnloadThisOne();
        CHECK(service.shutDowns == 1 && service.TakeLog().back() == "ShutDown" && service.sum >= sum);
        NothingRuns(service);

        // The same object again, and static Unload knows it.
        const unsigned long long kept = service.sum;
        Start(service, directory, port);
        // What was outstanding at the unload may have been executed now.
        CHECK(service.sum >= kept && service.sum <= kept + 2 && service.loads == 2);
        RSLStateMachine::Unload();
        CHECK(service.shutDowns == 2 && service.ReplicateRequest(request, 1, NULL) == RSLNotPrimary);
        // From inside a callback an unload only begins.
        Start(service, directory, port);
        service.inside = [&service] { service.UnloadThisOne(); };
        CHECK(service.ReplicateRequest(request, 1, NULL) == RSLSuccess);
        CHECK(Eventually([&] { return service.shutDowns == 3; }));
        service.UnloadThisOne();
        const unsigned long long total = service.executed;
        // The same history, read by another object, which then starts nothing.
        Service replayed;
        CHECK(replayed.Replay(directory.c_str(), ~0ull) && replayed.loads == 1);
        CHECK(replayed.GetCurrentSequenceNumber() > 0 && replayed.sum <= service.sum && replayed.sum + 2 >= service.sum);
        RSLMemberSet set;
        unsigned int number = 0;
        CHECK(replayed.GetConfiguration(&set, &number) && number == 2 && set.GetNumMembers() == 1);
        CHECK(replayed.ReplicateRequest(request, 1, NULL) == RSLNotPrimary && total > 0);
        replayed.UnloadThisOne();
        RSLStateMachine::Unload();
        Service again;
        CHECK(!again.Replay(directory.c_str(), ~0ull, 5, directory.c_str()));
        CHECK(!again.Replay("no such directory", 5) || again.sum == 0);
    }
    RSLUnload();
    puts("done");
    return 0;
}
