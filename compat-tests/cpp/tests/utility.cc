// The offline tools of rslutil.h.
#include "rslutil.h"

#include "check.h"

using namespace RSLib;

// Writes the same bytes in pieces.
class Creator : public IRSLCheckpointCreator {
public:
    Creator() : calls(0) {}
    int calls;
    void SaveState(RSLCheckpointStreamWriter* writer) {
        calls++;
        for (int i = 0; i < 1000; i++) {
            CHECK(writer->Write("0123456789", 10) == NO_ERROR);
        }
    }
};

static RSLNode Node(const char* id) {
    RSLNode node;
    strcpy(node.m_memberIdString, id);
    node.m_rslPort = 100;
    node.m_ip = 0x0100007f;
    return node;
}

static void CheckState(const std::string& file) {
    RSLCheckpointStreamReader reader;
    CHECK(reader.Init(file.c_str()) == NO_ERROR && reader.Size() == 10000);
    char buffer[10000];
    unsigned long got = 0;
    CHECK(reader.GetData(buffer, sizeof buffer, &got) == NO_ERROR && got == 10000 && memcmp(buffer + 9990, "0123456789", 10) == 0);
}

static std::string First(const std::string& file) {
    RSLMemberSet set;
    return RSLCheckpointUtility::GetReplicaSet(file.c_str(), &set) ? set.GetMemberInfo(0)->m_memberIdString : "none";
}

int main(int argc, char** argv) {
    CHECK(argc == 2 && RSLInit(NULL));
    std::string directory = argv[1];
    char* dir = &directory[0];
    char path[400];
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(NULL, path, sizeof path) == ERROR_INVALID_PARAMETER);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint("", path, sizeof path) == ERROR_INVALID_PARAMETER);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, NULL, sizeof path) == ERROR_INVALID_PARAMETER);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, 0) == ERROR_INVALID_PARAMETER);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint((directory + "/none").c_str(), path, sizeof path) == ERROR_PATH_NOT_FOUND);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, sizeof path) == ERROR_FILE_NOT_FOUND);

    RSLNodeCollection nodes;
    nodes.Append(Node("1"));
    char cookie[] = "abc";
    RSLMemberSet one(nodes, cookie, 3);
    nodes[0] = Node("22");
    RSLMemberSet two(nodes, NULL, 0);
    nodes[0] = Node("name");
    RSLMemberSet named(nodes, NULL, 0);
    RSLMemberSet empty;
    Creator creator;

    // Wrong arguments are logged, and nothing is written.
    RSLCheckpointUtility::SaveCheckpoint(dir, RSLProtocolVersion_4, 0, 1, &one, &creator);
    RSLCheckpointUtility::SaveCheckpoint(dir, RSLProtocolVersion_4, 9, 1, NULL, &creator);
    RSLCheckpointUtility::SaveCheckpoint(dir, RSLProtocolVersion_4, 9, 1, &empty, &creator);
    RSLCheckpointUtility::SaveCheckpoint(dir, RSLProtocolVersion_3, 9, 1, &named, &creator);
    RSLCheckpointUtility::SaveCheckpoint(dir, RSLProtocolVersion_4, 9, 1, &one, NULL);
    RSLCheckpointUtility::SaveCheckpoint(NULL, RSLProtocolVersion_4, 9, 1, &one, &creator);
    CHECK(creator.calls == 0);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, sizeof path) == ERROR_FILE_NOT_FOUND);

    for (int version = 1; version <= 6; version++) {
        RSLCheckpointUtility::SaveCheckpoint(dir, static_cast<RSLProtocolVersion>(version), static_cast<unsigned long long>(version), 5,
                                             version < 3 ? NULL : &one, &creator);
        CHECK(creator.calls == version);
        const std::string file = directory + "/" + std::to_string(version) + ".codex";
        CheckState(file);
        CHECK(First(file) == (version < 3 ? "none" : "1"));
        // Versions 1 and 2 know no members.
        CHECK(RSLCheckpointUtility::ChangeReplicaSet(file.c_str(), &two) == (version >= 3));
        CHECK(First(file) == (version < 3 ? "none" : "22"));
        CheckState(file);
        CHECK(!RSLCheckpointUtility::ChangeReplicaSet(file.c_str(), &empty) && !RSLCheckpointUtility::ChangeReplicaSet(file.c_str(), NULL));
        CHECK(RSLCheckpointUtility::ChangeReplicaSet(file.c_str(), &named) == (version >= 4));
        CheckState(file);
    }
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, sizeof path) == NO_ERROR);
#ifdef _WIN32
    CHECK(directory + "\\6.codex" == path);
#else
    CHECK(directory + "/6.codex" == path);
#endif
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, strlen(path)) == ERROR_INSUFFICIENT_BUFFER);
    CHECK(RSLCheckpointUtility::GetLatestCheckpoint(dir, path, directory.size() + 9) == NO_ERROR);

    // Up from 1, with the cookie; down from 6, with a plain body; ids that version 3 cannot say are refused.
    const std::string first = directory + "/1.codex", last = directory + "/6.codex";
    CHECK(RSLCheckpointUtility::MigrateToVersion3(first.c_str(), &one) && First(first) == "1");
    RSLMemberSet read;
    unsigned int length = 0;
    CHECK(RSLCheckpointUtility::GetReplicaSet(first.c_str(), &read));
    CHECK(memcmp(read.GetConfigurationCookie(&length), "abc", 3) == 0 && length == 3);
    CHECK(RSLCheckpointUtility::MigrateToVersion4(first.c_str(), &named) && First(first) == "name");
    CheckState(first);
    CHECK(!RSLCheckpointUtility::MigrateToVersion3(last.c_str(), &named) && First(last) == "name");
    CHECK(RSLCheckpointUtility::MigrateToVersion3(last.c_str(), &two) && First(last) == "22");
    CheckState(last);
    CHECK(!RSLCheckpointUtility::MigrateToVersion4((directory + "/none.codex").c_str(), &one));
    CHECK(!RSLCheckpointUtility::GetReplicaSet((directory + "/none.codex").c_str(), &read));
    CHECK(!RSLCheckpointUtility::GetReplicaSet(last.c_str(), NULL) && !RSLCheckpointUtility::MigrateToVersion4(last.c_str(), NULL));
    puts("done");
    return 0;
}
