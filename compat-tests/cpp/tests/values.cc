// Enumerations, constants, layouts, and the classes that hold values: every public member of RSLNode, RSLNodeCollection,
// RSLMemberSet, RSLConfigParam, ReplicaHealth, RSLStats, RSLPrimaryCookie and RSLUtils. Uses the header as a service did.
#define RSL_IMPORTS
#include "rsl.h"
#include "rslutil.h"

#include <type_traits>

#include "check.h"

using namespace RSLib;

// Defined in second.cc, which includes the same headers.
unsigned long long ChecksumInAnotherObject(const void* data, size_t length);
RSLMemberSet* SetInAnotherObject();

static void Numbers() {
    CHECK(RSLSuccess == 0 && RSLFastReadStale == 1 && RSLNotPrimary == 2 && RSLShuttingDown == 3);
    CHECK(RSLAlreadyBootstrapped == 4 && RSLBootstrapFailed == 5 && RSLInvalidParameter == 6 && RSLQueueFull == 100);
    CHECK(RSLProtocolVersion_1 == 1 && RSLProtocolVersion_2 == 2 && RSLProtocolVersion_3 == 3);
    CHECK(RSLProtocolVersion_4 == 4 && RSLProtocolVersion_5 == 5 && RSLProtocolVersion_6 == 6);
    CHECK(Priority_Normal == 0 && Priority_AboveNormal == 1 && Priority_BelowNormal == 2 && Priority_Highest == 3);
    CHECK(Priority_Lowest == 4 && Priority_OutOfGC == 16);
    CHECK(CallBackLogLevel_Debug == 0 && CallBackLogLevel_Info == 1 && CallBackLogLevel_Status == 2);
    CHECK(CallBackLogLevel_Warning == 3 && CallBackLogLevel_Error == 4 && CallBackLogLevel_Alert == 5 && CallBackLogLevel_Assert == 6);
    CHECK(RSLNode::MaxMemberIdLength == 63 && RSLMemberSet::s_MaxMemberSetCookieLength == 8192);
    CHECK(NO_ERROR == 0 && ERROR_FILE_NOT_FOUND == 2 && ERROR_PATH_NOT_FOUND == 3 && ERROR_ACCESS_DENIED == 5);
    CHECK(ERROR_INVALID_HANDLE == 6 && ERROR_OUTOFMEMORY == 14 && ERROR_CRC == 23 && ERROR_SHARING_VIOLATION == 32);
    CHECK(ERROR_HANDLE_EOF == 38 && ERROR_INVALID_PARAMETER == 87 && ERROR_DISK_FULL == 112 && ERROR_INSUFFICIENT_BUFFER == 122);
    CHECK(MAX_PATH == 260 && sizeof(RSLResponseCode) == 4 && sizeof(RSLStateMachine*) == 8);
}

static void Layouts() {
    CHECK(sizeof(RSLNode) == 336 && alignof(RSLNode) == 4);
    CHECK(offsetof(RSLNode, m_hostName) == 64 && offsetof(RSLNode, m_ip) == 320 && offsetof(RSLNode, m_rslPort) == 324);
    CHECK(offsetof(RSLNode, m_rslLearnPort) == 326 && offsetof(RSLNode, m_appPort) == 328 && offsetof(RSLNode, m_priority) == 332);
    CHECK(sizeof(RSLConfigParam) == 432 && sizeof(RSLStats) == 104);
    CHECK(std::is_trivially_copyable<RSLNode>::value && std::is_trivially_copyable<ReplicaHealth>::value);
    CHECK(std::is_copy_assignable<RSLConfigParam>::value);
    CHECK(!std::is_copy_constructible<RSLMemberSet>::value && !std::is_copy_constructible<RSLPrimaryCookie>::value);
    CHECK(!std::is_copy_constructible<RSLCheckpointStreamReader>::value && !std::is_copy_constructible<RSLCheckpointStreamWriter>::value);
    CHECK(!std::is_copy_assignable<RSLCheckpointStreamReader>::value && !std::is_copy_assignable<RSLCheckpointStreamWriter>::value);
    CHECK(std::has_virtual_destructor<RSLStateMachine>::value && !std::has_virtual_destructor<IRSLCheckpointCreator>::value);
    CHECK(!std::is_default_constructible<RSLCheckpointUtility>::value);
    ReplicaHealth health;
    CHECK(health.m_memberId[0] == 0 && !health.m_isPrimary && health.m_failedAt.wYear == 0 && health.m_lastVotePayload == 0);
}

static RSLNode Node(const char* id) {
    RSLNode node;
    strcpy(node.m_memberIdString, id);
    node.m_rslPort = 1;
    return node;
}

static void Nodes() {
    RSLNode node;
    CHECK(node.m_memberIdString[0] == 0 && node.m_hostName[0] == 0 && node.m_ip == 0 && node.m_rslPort == 0);
    CHECK(node.m_rslLearnPort == 0 && node.m_appPort == 0 && node.m_priority == 0);
    node.SetMemberIdAsUInt64(18446744073709551615ull);
    CHECK(strcmp(node.m_memberIdString, "18446744073709551615") == 0);
    CHECK(node.GetMemberIdAsUInt64() == 18446744073709551615ull);
    CHECK(RSLNode::ParseMemberIdAsUInt64("0x10") == 16 && RSLNode::ParseMemberIdAsUInt64("010") == 8);
    CHECK(RSLNode::ParseMemberIdAsUInt64("") == 0 && RSLNode::ParseMemberIdAsUInt64("7") == 7);
    CHECK(RSLNode::ParseMemberIdAsUInt64("12x") == 0 && RSLNode::ParseMemberIdAsUInt64(NULL) == 0);
}

static void Collections() {
    RSLNodeCollection nodes;
    CHECK(nodes.Count() == 0);
    nodes.Append(Node("a"));
    for (int i = 0; i < 40; i++) {
        nodes.Append(nodes[0]);
    }
    CHECK(nodes.Count() == 41 && strcmp(nodes[40].m_memberIdString, "a") == 0);
    nodes[1] = Node("b");
    nodes.Remove(0);
    CHECK(nodes.Count() == 40 && strcmp(nodes[0].m_memberIdString, "b") == 0);
    const RSLNodeCollection& same = nodes;
    nodes = same;
    CHECK(nodes.Count() == 40);
    const RSLNodeCollection copy(nodes);
    copy[0].m_appPort = 9;
    CHECK(copy[0].m_appPort == 9 && nodes[0].m_appPort == 0);
    nodes.Clear();
    CHECK(nodes.Count() == 0 && copy.Count() == 40);
}

static void MemberSets() {
    RSLMemberSet empty;
    unsigned int length = 5;
    CHECK(empty.GetNumMembers() == 0 && empty.GetMemberInfo(0) == NULL);
    CHECK(empty.GetConfigurationCookie(&length) == NULL && length == 0 && empty.GetConfigurationCookie(NULL) == NULL);
    RSLNodeCollection nodes;
    nodes.Append(Node("a"));
    nodes.Append(Node("b"));
    char cookie[] = "cookie";
    RSLMemberSet set(nodes, cookie, 6);
    cookie[0] = 'x';
    nodes[0] = Node("z");
    CHECK(set.GetNumMembers() == 2 && strcmp(set.GetMemberInfo(0)->m_memberIdString, "a") == 0);
    CHECK(memcmp(set.GetConfigurationCookie(&length), "cookie", 6) == 0 && length == 6);
    CHECK(set.GetMemberInfo(2) == NULL && set.GetMemberInfo(65535) == NULL);
    CHECK(set.IncludesMember("b") && !set.IncludesMember("z") && !set.IncludesMember(NULL));
    set.GetMemberCollection(nodes);
    CHECK(nodes.Count() == 2 && strcmp(nodes[0].m_memberIdString, "a") == 0);
    const RSLNodeArray* array = set.GetMemberArray();
    CHECK(array->size() == 2 && set.GetMemberArray() == array);
    set.SetConfigurationCookie(set.GetConfigurationCookie(NULL), 3);
    CHECK(memcmp(set.GetConfigurationCookie(&length), "coo", 3) == 0 && length == 3);
    set.SetConfigurationCookie(NULL, 0);
    CHECK(set.GetConfigurationCookie(&length) == NULL && length == 0);
    RSLMemberSet old(*array, NULL, 0);
    CHECK(old.GetNumMembers() == 2);
    RSLMemberSet* remote = SetInAnotherObject();
    CHECK(remote->GetNumMembers() == 1);
    delete remote;
}

static void Defaults() {
    const RSLConfigParam c;
    CHECK(c.m_newLeaderGracePeriodSec == 15 && c.m_heartBeatIntervalSec == 2 && c.m_electionDelaySec == 10);
    CHECK(c.m_maxElectionRandomizeSec == 1 && c.m_initializeRetryIntervalSec == 1 && c.m_prepareRetryIntervalSec == 1);
    CHECK(c.m_voteRetryIntervalSec == 3 && c.m_voteMaxOutstandingIntervalSec == 480 && c.m_cPQueryRetryIntervalSec == 5);
    CHECK(c.m_maxCheckpointIntervalSec == 0 && c.m_joinMessagesIntervalSec == 1 && c.m_maxLogLenMB == 100);
    CHECK(c.m_sendTimeoutSec == 5 && c.m_receiveTimeoutSec == 5 && c.m_maxCacheLengthMB == 50 && c.m_maxVotesInLog == 10000);
    CHECK(c.m_maxOutstandingPerReplica == 10 && c.m_maxCheckpoints == 4 && c.m_maxCheckpointSizeGB == 0);
    CHECK(c.m_minCheckpointSpaceFileCount == 0 && c.m_maxLogs == 10 && c.m_logLenRandomize == 20 && c.m_electionRandomize == 10);
    CHECK(c.m_fastReadSeqThreshold == 0 && c.m_inMemoryExecutionQueueSizeMB == 0 && c.m_numReaderThreads == 1);
    CHECK(c.m_maxMessageSizeMB == 100 && c.m_maxMessageAlertSizeMB == 0 && !c.m_allowPrimaryPromotionWhileCatchingUp);
    CHECK(c.m_workingDir[0] == 0 && c.m_addMemberIdToWorkingDir && c.m_cancelDiskIo && !c.m_useGlobalAcceptMessagesFlag);
}

static void Streams() {
    RSLCheckpointStreamReader reader;
    RSLCheckpointStreamWriter writer;
    unsigned long got = 3;
    DWORD alsoGot = 3;
    void* data = &got;
    CHECK(reader.GetDataPointer(&data, 1, &got) == ERROR_INVALID_HANDLE && got == 0 && data == &got);
    CHECK(reader.GetData(data, 1, &alsoGot) == ERROR_INVALID_HANDLE && reader.Skip(1) == ERROR_INVALID_HANDLE);
    CHECK(reader.Seek(0) == ERROR_INVALID_HANDLE && reader.Size() == 0 && reader.GetFileName() == NULL);
    CHECK(reader.Init("no such file") == ERROR_CRC && reader.GetFileName() == NULL);
    CHECK(reader.Init(static_cast<const char*>(NULL)) == ERROR_INVALID_PARAMETER);
    CHECK(reader.CreateWriterForThisReader("x") == NULL);
    reader.CloseWriterForThisReader("x", NULL);
    CHECK(writer.Write("x", 1) == ERROR_INVALID_HANDLE && writer.Close() == ERROR_INVALID_HANDLE);
}

static void Process() {
    const RSLPrimaryCookie cookie;
    const_cast<RSLPrimaryCookie&>(cookie).Set(const_cast<char*>("unused"), 6);
    CHECK(RSLUtils::CalculateChecksum("abc", 3) == 0x84724f5d5fed6f76ull);
    CHECK(ChecksumInAnotherObject("", 0) == 0xa795d0f29b4dcdf8ull);
    SetMinidumpEnabled(true);
    // TLS is refused, never plaintext; an explicit NULL, NULL takes it back.
    CHECK(!SetThumbprintsForSsl("not a thumbprint", NULL, false, false));
    CHECK(!SetSubjectNamesForSsl("CN=a", NULL, NULL, NULL, false));
    CHECK(SetSubjectNamesForSsl(NULL, NULL, NULL, NULL, false) && SetThumbprintsForSsl(NULL, NULL, false, false));
    const SYSTEMTIME time = detail::ToSystemTime(1709210096789012ll); // 2024-02-29 12:34:56.789, a Thursday
    CHECK(time.wYear == 2024 && time.wMonth == 2 && time.wDay == 29 && time.wDayOfWeek == 4);
    CHECK(time.wHour == 12 && time.wMinute == 34 && time.wSecond == 56 && time.wMilliseconds == 789);
}

int main() {
    CHECK(RSLInit(NULL));
    Numbers();
    Layouts();
    Nodes();
    Collections();
    MemberSets();
    Defaults();
    Streams();
    Process();
    RSLUnload();
    puts("done");
    return 0;
}
