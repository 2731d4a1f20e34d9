// Tools for checkpoint files, and the checksum, as in the legacy rslutil.h.
#ifndef RSLUTIL_H
#define RSLUTIL_H

#include "rsl.h"

namespace RSLib {

class RSLUtils {
public:
    // The 64-bit checksum of messages, log records and checkpoints.
    static unsigned long long CalculateChecksum(const void* data, const size_t length) {
        return rsl_checksum(data, length);
    }
};

// Writes the state of a checkpoint that RSLCheckpointUtility makes.
class IRSLCheckpointCreator {
public:
    virtual void SaveState(RSLCheckpointStreamWriter* writer) = 0;
};

class RSLCheckpointUtility {
public:
    // Writes <directory>/<lastSequenceNumber>.codex. Members may be NULL in versions 1 and 2. Wrong arguments are logged
    // and nothing is written; a failing disk ends the process, because there is no result to say so.
    static void SaveCheckpoint(char* directoryName, RSLProtocolVersion version, unsigned long long lastSequenceNumber,
                               unsigned int configurationNumber, RSLMemberSet* memberSet,
                               IRSLCheckpointCreator* checkpointCreator) {
        if (checkpointCreator == NULL) {
            rsl_log(4, "SaveCheckpoint: no creator");
            return;
        }
        std::vector<rsl_node> nodes;
        rsl_member_view view;
        if (memberSet != NULL) {
            view = memberSet->View(nodes);
        }
        const detail::Text directory(directoryName);
        const rsl_status status = rsl_checkpoint_save(directory.Get(), version, lastSequenceNumber, configurationNumber,
                                                      memberSet == NULL ? NULL : &view, OnSave, checkpointCreator);
        if (status == RSL_E_IO) {
            rsl_fatal("SaveCheckpoint: writing the checkpoint failed");
        } else if (status != RSL_OK) {
            rsl_log(4, "SaveCheckpoint: the arguments cannot be used");
        }
    }

    // Replaces the members in a file of version 3 or later.
    static bool ChangeReplicaSet(const char* fileName, const RSLMemberSet* memberSet) {
        return SetMembers(fileName, 0, memberSet);
    }

    static bool MigrateToVersion3(const char* fileName, const RSLMemberSet* memberSet) {
        return SetMembers(fileName, 3, memberSet);
    }

    static bool MigrateToVersion4(const char* fileName, const RSLMemberSet* memberSet) {
        return SetMembers(fileName, 4, memberSet);
    }

    // The members in a file of version 3 or later.
    static bool GetReplicaSet(const char* fileName, RSLMemberSet* memberSet) {
        const detail::Text path(fileName);
        rsl_member_set* set = NULL;
        if (memberSet == NULL || rsl_checkpoint_get_members(path.Get(), &set) != RSL_OK) {
            return false;
        }
        memberSet->Take(set);
        return true;
    }

    // The path of the newest checkpoint; a Win32 error number.
    static DWORD GetLatestCheckpoint(const char* directoryName, char* buffer, size_t size) {
        const detail::Text directory(directoryName);
#ifdef _WIN32
        std::vector<char> found(size * 4 + 1);
        const DWORD error = rsl_checkpoint_latest(directory.Get(), buffer == NULL || size == 0 ? NULL : found.data(), found.size());
        if (error != NO_ERROR) {
            return error;
        }
        const std::string path = detail::FromUtf8(found.data());
        if (path.empty()) {
            return ERROR_INVALID_PARAMETER;
        }
        if (path.size() >= size) {
            return ERROR_INSUFFICIENT_BUFFER;
        }
        memcpy(buffer, path.c_str(), path.size() + 1);
        return NO_ERROR;
#else
        return rsl_checkpoint_latest(directory.Get(), buffer, size);
#endif
    }

private:
    RSLCheckpointUtility() = delete;

    static bool SetMembers(const char* fileName, int version, const RSLMemberSet* memberSet) {
        if (memberSet == NULL) {
            return false;
        }
        const detail::Text path(fileName);
        std::vector<rsl_node> nodes;
        const rsl_member_view view = memberSet->View(nodes);
        return rsl_checkpoint_set_members(path.Get(), version, &view) == RSL_OK;
    }

    static void OnSave(void* creator, rsl_writer* writer) {
        RSL_TRY_ {
            RSLCheckpointStreamWriter stream(writer, false);
            static_cast<IRSLCheckpointCreator*>(creator)->SaveState(&stream);
        }
        RSL_CATCH_ALL_ { rsl_fatal("exception escaped IRSLCheckpointCreator::SaveState"); }
    }
};

} // namespace RSLib

#endif
