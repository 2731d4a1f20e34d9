// Checkpoint streams over several blocks, and over plain files: short reads, seeks, skips, damage, rewriting.
#include "rslutil.h"

#include "check.h"

using namespace RSLib;

static const unsigned long Block = 4194304 - 8;

static unsigned char ByteAt(unsigned long long at) { return static_cast<unsigned char>(at * 7 + at / Block); }

class Creator : public IRSLCheckpointCreator {
public:
    explicit Creator(unsigned long long bytes) : size(bytes) {}
    unsigned long long size;
    void SaveState(RSLCheckpointStreamWriter* writer) {
        std::vector<unsigned char> piece;
        for (unsigned long long at = 0; at < size; at += piece.size()) {
            piece.resize(static_cast<size_t>(size - at < 100000 ? size - at : 100000));
            for (size_t i = 0; i < piece.size(); i++) {
                piece[i] = ByteAt(at + i);
            }
            CHECK(writer->Write(piece.data(), static_cast<unsigned long>(piece.size())) == NO_ERROR);
        }
    }
};

static std::string Make(const std::string& directory, RSLProtocolVersion version, unsigned long long seq, unsigned long long size) {
    std::string dir = directory;
    RSLNodeCollection nodes;
    RSLNode node;
    node.SetMemberIdAsUInt64(1);
    node.m_rslPort = 1;
    nodes.Append(node);
    RSLMemberSet set(nodes, NULL, 0);
    Creator creator(size);
    RSLCheckpointUtility::SaveCheckpoint(&dir[0], version, seq, 1, &set, &creator);
    return directory + "/" + std::to_string(seq) + ".codex";
}

// What holds for every file: offsets, the end, reading on after a seek.
static void Offsets(const std::string& file, unsigned long long size) {
    RSLCheckpointStreamReader reader;
    CHECK(reader.Init(file.c_str()) == NO_ERROR && reader.Size() == size && file == reader.GetFileName());
    const unsigned long long offsets[] = {0, 1, Block - 1, Block, Block + 1, size - 1, 5};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        unsigned char byte = 0;
        unsigned long got = 0;
        CHECK(reader.Seek(offsets[i]) == NO_ERROR && reader.GetData(&byte, 1, &got) == NO_ERROR);
        CHECK(got == 1 && byte == ByteAt(offsets[i]));
        CHECK(reader.Seek(0) == NO_ERROR);
        CHECK(reader.Skip(static_cast<unsigned long>(offsets[i])) == NO_ERROR && reader.GetData(&byte, 1, NULL) == NO_ERROR);
        CHECK(byte == ByteAt(offsets[i]));
    }
    void* data = &reader;
    CHECK(reader.Seek(size) == NO_ERROR && reader.GetDataPointer(&data, 1, NULL) == ERROR_HANDLE_EOF && data == &reader);
    CHECK(reader.GetDataPointer(&data, 0, NULL) == ERROR_HANDLE_EOF && reader.GetDataPointer(&data, 1, NULL) == ERROR_HANDLE_EOF);
    CHECK(reader.Seek(size + 1) == ERROR_HANDLE_EOF && reader.GetDataPointer(&data, 1, NULL) == ERROR_HANDLE_EOF);
    CHECK(reader.Seek(~0ull) == ERROR_HANDLE_EOF && reader.Skip(0) == NO_ERROR && reader.Skip(1) == ERROR_HANDLE_EOF);
    CHECK(reader.Seek(size - 2) == NO_ERROR && reader.Skip(3) == ERROR_HANDLE_EOF);
    CHECK(reader.Seek(0) == NO_ERROR && reader.GetDataPointer(&data, 0, NULL) == NO_ERROR);
}

static void Flip(const std::string& file, long offset) {
    FILE* f = fopen(file.c_str(), "r+b");
    CHECK(f != NULL && fseek(f, offset, SEEK_SET) == 0);
    const int byte = fgetc(f);
    CHECK(fseek(f, offset, SEEK_SET) == 0 && fputc(byte ^ 1, f) != EOF && fclose(f) == 0);
}

int main(int argc, char** argv) {
    CHECK(argc == 2 && RSLInit(NULL));
    const std::string directory = argv[1];
    // Two whole blocks: as observed, each read gives one.
    const std::string two = Make(directory, RSLProtocolVersion_4, 1, 2 * Block);
    RSLCheckpointStreamReader reader;
    CHECK(reader.Init(two.c_str()) == NO_ERROR && reader.Size() == 8388592);
    void* data = NULL;
    unsigned long got = 0;
    std::vector<unsigned char> buffer(10 << 20);
    for (int i = 0; i < 2; i++) {
        CHECK(reader.GetDataPointer(&data, 10 << 20, &got) == NO_ERROR && got == Block);
        CHECK(static_cast<unsigned char*>(data)[0] == ByteAt(static_cast<unsigned long long>(i) * Block));
    }
    CHECK(reader.GetDataPointer(&data, 10 << 20, &got) == ERROR_HANDLE_EOF);
    CHECK(reader.Seek(Block - 10) == NO_ERROR && reader.GetData(buffer.data(), 10 << 20, &got) == NO_ERROR && got == 10);
    CHECK(reader.GetData(buffer.data(), 10 << 20, &got) == NO_ERROR && got == Block && buffer[0] == ByteAt(Block));
    Offsets(two, 2 * Block);
    Offsets(Make(directory, RSLProtocolVersion_6, 2, 2 * Block + 12345), 2 * Block + 12345);
    Offsets(Make(directory, RSLProtocolVersion_3, 3, 2 * Block + 77), 2 * Block + 77);
    Offsets(Make(directory, RSLProtocolVersion_1, 4, Block + 77), Block + 77);

    // Rewritten with another state, over the reader's own copy of the header.
    const std::string copy = directory + "/copy";
    RSLCheckpointStreamWriter* writer = reader.CreateWriterForThisReader(copy.c_str());
    CHECK(writer != NULL);
    Creator(Block + 5).SaveState(writer);
    reader.CloseWriterForThisReader(copy.c_str(), writer);
    delete writer;
    RSLCheckpointStreamReader second;
    CHECK(second.Init(copy.c_str()) == NO_ERROR && second.Size() == Block + 5);
    // One that is not closed, and one that is closed under another name, are no checkpoints.
    writer = second.CreateWriterForThisReader((directory + "/other").c_str());
    CHECK(writer->Write("x", 1) == NO_ERROR);
    second.CloseWriterForThisReader(copy.c_str(), writer);
    delete writer;
    CHECK(second.Init((directory + "/other").c_str()) == ERROR_CRC);
    CHECK(second.GetFileName() == NULL && second.Size() == 0);

    // A damaged second block: the first is fine, every way to the second says so.
    Flip(two, 512 + 4194304 + 1000);
    CHECK(reader.Init(two.c_str()) == NO_ERROR);
    CHECK(reader.GetDataPointer(&data, Block, &got) == NO_ERROR && got == Block);
    CHECK(reader.GetDataPointer(&data, 1, &got) == ERROR_CRC && got == 0);
    CHECK(reader.Seek(Block + 5) == ERROR_CRC && reader.Seek(0) == NO_ERROR);
    CHECK(reader.GetData(buffer.data(), 1, &got) == NO_ERROR && reader.Skip(Block + 5) == ERROR_CRC);
    // A size that is not in the header, and a header that is none.
    FILE* longer = fopen(copy.c_str(), "ab");
    CHECK(longer != NULL && fputc(0, longer) == 0 && fclose(longer) == 0);
    CHECK(reader.Init(copy.c_str()) == ERROR_CRC);
    Flip(two, 2); // the length of the header
    CHECK(reader.Init(two.c_str()) == ERROR_CRC && reader.Init(directory.c_str()) == ERROR_CRC);
    CHECK(reader.Init(std::string(65535, 'x').c_str()) == ERROR_INVALID_PARAMETER);
    puts("done");
    return 0;
}
